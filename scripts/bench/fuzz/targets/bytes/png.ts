/** Pictures that people upload and a media node decodes. */
import * as fc from 'fast-check';
import { inspectPng, LARGEST_PICTURE, SMALLEST_SIDE, type PngFacts } from '../../../../../src/domains/rooms/png';
import { SwitchyardError } from '../../../../../src/errors';
import { pngPlans, writePng } from '../../grammar/png';
import { damage, damages } from '../../grammar/text';
import { findPngFault } from '../../oracles/png';
import { mustBeQuick } from '../../pace';
import { defineTarget, must, mustEqual, type Target } from '../../target';

export type InspectPng = (bytes: Buffer) => PngFacts;

export const pngTarget = (inspect: InspectPng = inspectPng): Target =>
  defineTarget({
    name: 'png',
    holds: 'what is let in is a PNG by the book within our sizes; everything else is refused by a code, at once',
    inputs: fc.record({ plan: pngPlans, damages }),
    perBatch: 500,
    check({ plan, damages: list }) {
      const bytes = damage(writePng(plan), list);
      let facts: PngFacts | undefined;
      mustBeQuick(`${bytes.length} bytes of PNG`, 60 + bytes.length / 1000, () => {
        try {
          facts = inspect(bytes);
        } catch (error) {
          must(error instanceof SwitchyardError && error.status < 500, () => `it threw ${String(error)}`);
          facts = undefined;
        }
      });
      if (!facts) return 'refused';
      const { width, height } = facts;
      must(width >= SMALLEST_SIDE && height >= SMALLEST_SIDE, 'it is too small');
      must(width <= LARGEST_PICTURE.width && height <= LARGEST_PICTURE.height, 'it is too large');
      mustEqual(findPngFault(bytes), undefined, 'what a strict reader says of a PNG that was let in');
      return 'let in';
    },
  });
