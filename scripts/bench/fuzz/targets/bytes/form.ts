/** A recording as mod_curl sends it: a form of one field, out of which the file is taken. */
import { Readable } from 'node:stream';
import * as fc from 'fast-check';
import { SwitchyardError } from '../../../../../src/errors';
import { readFormFile } from '../../../../../src/http/nodes/recording.endpoint';
import { anyText, cutBytes, cutEvery, cuts, damage, damages } from '../../grammar/text';
import { mustBeQuickAsync } from '../../pace';
import { defineAsyncTarget, must, mustEqual, type Target } from '../../target';

export type ReadFormFile = (request: AsyncIterable<Buffer>, bytes: number) => AsyncIterable<Buffer>;

interface FormInput {
  boundary: string;
  headers: readonly string[];
  lineEnd: string;
  file: Buffer;
  announced: number;
  damages: Parameters<typeof damage>[1];
  cuts: readonly number[];
}

const header = fc.oneof(
  fc.constantFrom('Content-Disposition: form-data; name="file"; filename="a.wav"', 'Content-Type: audio/wav', ''),
  anyText.map((text) => `X-Any: ${text}`),
  fc.constant(`X-Long: ${'a'.repeat(5000)}`),
);

const forms: fc.Arbitrary<FormInput> = fc.record({
  boundary: fc.constantFrom('------------------------d74496d66958873e', '--', ''),
  headers: fc.array(header, { maxLength: 4 }),
  lineEnd: fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r'),
  file: fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)),
    fc.constantFrom(Buffer.from('\r\n\r\n'), Buffer.alloc(0), Buffer.alloc(70_000, 0x0d)),
  ),
  announced: fc.constantFrom(0, 0, 0, 1, -1, -5, 100_000),
  damages,
  cuts,
});

export const formTarget = (read: ReadFormFile = readFormFile): Target =>
  defineAsyncTarget({
    name: 'form',
    holds: 'the file comes out of its form however reads are cut, never more bytes than were announced, and soon',
    inputs: forms,
    async check(input) {
      const { boundary, headers, lineEnd, file } = input;
      const head = [boundary, ...headers, '', ''].join(lineEnd);
      const clean = Buffer.concat([Buffer.from(head), file, Buffer.from(`${lineEnd}${boundary}--${lineEnd}`)]);
      const bytes = damage(clean, input.damages);
      const announced = Math.max(0, file.length + input.announced);
      const whole = await readAll(read, [bytes], announced);
      const cut = await readAll(read, cutBytes(bytes, input.cuts), announced);
      mustEqual(cut, whole, 'the same form in other reads');
      if (bytes.length < 12_000)
        mustEqual(await readAll(read, cutEvery(bytes, 1), announced), whole, 'the same form byte by byte');
      if (bytes.length > 3000) {
        const small = cutEvery(bytes, 7);
        const limitMs = 150 + bytes.length / 200;
        await mustBeQuickAsync('a form', limitMs, async () => void (await readAll(read, small, announced)));
      }
      if (typeof whole === 'string') return 'refused';
      must(whole.length <= announced, 'more bytes than were announced');
      const isWhole = input.damages.length === 0 && lineEnd === '\r\n' && input.announced === 0;
      if (!isWhole || headers.some((h) => h === '' || /[\r\n]/.test(h))) return 'read';
      must(whole.equals(file), 'another file than was sent');
      return 'by the book';
    },
  });

async function readAll(read: ReadFormFile, parts: readonly Buffer[], announced: number): Promise<Buffer | string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of read(Readable.from(parts) as AsyncIterable<Buffer>, announced)) chunks.push(chunk);
  } catch (error) {
    must(error instanceof SwitchyardError && error.status < 500, () => `it threw ${String(error)}`);
    return error.message;
  }
  return Buffer.concat(chunks);
}
