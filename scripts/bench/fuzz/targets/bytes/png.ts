/** Images that people upload and a media node decodes. */
import * as fc from 'fast-check';
import { cleanPng, LARGEST_IMAGE, SMALLEST_SIDE, type CleanPng } from '../../../../../src/domains/rooms/images/png';
import { SwitchyardError } from '../../../../../src/errors';
import { pngPlans, writePng } from '../../grammar/png';
import { damage, damages } from '../../grammar/text';
import { findPngFault } from '../../oracles/png';
import { mustBeQuickAsync } from '../../pace';
import { defineAsyncTarget, must, mustEqual, type Target } from '../../target';

export type CleanAnyPng = (bytes: Buffer) => Promise<CleanPng>;

export const pngTarget = (clean: CleanAnyPng = cleanPng): Target =>
  defineAsyncTarget({
    name: 'png',
    holds: 'what is kept is a PNG by the book within our sizes; everything else is refused by a code, at once',
    inputs: fc.record({ plan: pngPlans, damages }),
    perBatch: 500,
    async check({ plan, damages: list }) {
      const bytes = damage(writePng(plan), list);
      let kept: CleanPng | undefined;
      await mustBeQuickAsync(`${bytes.length} bytes of PNG`, 100 + bytes.length / 1000, async () => {
        try {
          kept = await clean(bytes);
        } catch (error) {
          must(error instanceof SwitchyardError && error.status < 500, () => `it threw ${String(error)}`);
          kept = undefined;
        }
      });
      if (!kept) return 'refused';
      const { width, height } = kept;
      must(width >= SMALLEST_SIDE && height >= SMALLEST_SIDE, 'it is too small');
      must(width <= LARGEST_IMAGE.width && height <= LARGEST_IMAGE.height, 'it is too large');
      mustEqual(findPngFault(kept.bytes), undefined, 'what a strict reader says of the PNG that is kept');
      mustEqual((await clean(kept.bytes)).bytes, kept.bytes, 'what is kept, read once more');
      return 'let in';
    },
  });
