/** AMF0 as bytes, right and wrong: every type there is, lengths that lie, and names that mean something to JavaScript. */
import * as fc from 'fast-check';

const name: fc.Arbitrary<Buffer> = fc.oneof(
  fc.constantFrom('connect', 'publish', 'app', '', '__proto__', 'constructor', 'length').map((s) => Buffer.from(s)),
  fc.uint8Array({ maxLength: 12 }).map((b) => Buffer.from(b)),
);

/** By how much a length is off. */
const lie: fc.Arbitrary<number> = fc.oneof(
  { weight: 8, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(1, -1, 60_000, 2 ** 31) },
);

/** Text behind its length, and behind its type where it has one. */
function withLength(type: number | undefined, text: Buffer, by: number, bytes: 2 | 4): Buffer {
  const head = Buffer.alloc(bytes);
  const length = Math.max(0, text.length + by);
  if (bytes === 2) head.writeUInt16BE(length & 0xffff);
  else head.writeUInt32BE(length >>> 0);
  return Buffer.concat([type === undefined ? Buffer.alloc(0) : Buffer.from([type]), head, text]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** One value. */
export const amfBytes: fc.Arbitrary<Buffer> = fc.letrec<{ value: Buffer; fields: Buffer }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.double().map((n) => {
      const bytes = Buffer.alloc(9);
      bytes.writeDoubleBE(n, 1);
      return bytes;
    }),
    fc.boolean().map((b) => Buffer.from([1, b ? 1 : 0])),
    fc.constantFrom(Buffer.from([5]), Buffer.from([6]), Buffer.from([13]), Buffer.from([4]), Buffer.from([7, 0, 1])),
    fc.tuple(name, lie).map(([text, by]) => withLength(2, text, by, 2)),
    fc.tuple(name, lie).map(([text, by]) => withLength(12, text, by, 4)),
    fc.date({ noInvalidDate: true }).map((d) => {
      const bytes = Buffer.alloc(11);
      bytes[0] = 11;
      bytes.writeDoubleBE(d.getTime(), 1);
      return bytes;
    }),
    tie('fields').map((fields) => Buffer.concat([Buffer.from([3]), fields])),
    fc.tuple(tie('fields'), fc.nat()).map(([fields, hint]) => Buffer.concat([Buffer.from([8]), uint32(hint), fields])),
    fc
      .tuple(fc.array(tie('value'), { maxLength: 4 }), lie)
      .map(([items, by]) => Buffer.concat([Buffer.from([10]), uint32(items.length + by), ...items])),
  ),
  fields: fc
    .tuple(fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }), fc.boolean())
    .map(([list, isClosed]) =>
      Buffer.concat([
        ...list.map(([text, value]) => Buffer.concat([withLength(undefined, text, 0, 2), value])),
        isClosed ? Buffer.from([0, 0, 9]) : Buffer.alloc(0),
      ]),
    ),
})).value;
