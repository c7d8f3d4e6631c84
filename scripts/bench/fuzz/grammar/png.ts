/** Writes PNGs, right and wrong: chunks with true checksums in any order, headers that lie, pixels that don't fit them. */
import { crc32, deflateSync } from 'node:zlib';
import * as fc from 'fast-check';

export interface PngPlan {
  width: number;
  height: number;
  depth: number;
  colour: number;
  method: readonly [compression: number, filter: number, interlace: number];
  /** How many bytes of pixels more or less than the header says. */
  off: number;
  /** The filter of each row, over and over. */
  filters: readonly number[];
  palette: number | undefined;
  transparency: number | undefined;
  /** Other chunks, and where they stand. */
  extra: readonly { type: string; bytes: number; at: 'first' | 'second' | 'in the pixels' | 'last' | 'behind' }[];
  /** Into how many chunks the pixels are cut. */
  pieces: number;
  brokenCrc: boolean;
}

const extra = fc.record({
  type: fc.constantFrom(
    'IHDR',
    'PLTE',
    'tRNS',
    'IDAT',
    'IEND',
    'zTXt',
    'iCCP',
    'tEXt',
    'aBCD',
    'ABCD',
    'acTL',
    '\0\0\0\0',
  ),
  bytes: fc.constantFrom(0, 1, 3, 13, 300),
  at: fc.constantFrom(
    'first' as const,
    'second' as const,
    'in the pixels' as const,
    'last' as const,
    'behind' as const,
  ),
});

const mostly = <T>(usual: T, ...rest: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...rest) });

export const pngPlans: fc.Arbitrary<PngPlan> = fc.record({
  width: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 16, max: 40 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 15, 1920, 1921, 0x7fffffff, 0xffffffff) },
  ),
  height: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 16, max: 24 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 1080, 1081, 0xffffffff) },
  ),
  depth: mostly(8, 1, 2, 4, 16, 0, 3, 255),
  colour: fc.constantFrom(0, 2, 3, 4, 6, 2, 6, 1, 5, 255),
  method: fc.tuple(mostly(0, 1, 255), mostly(0, 1, 255), mostly(0, 1, 2)),
  off: mostly(0, 1, -1, 1000, -100_000, 5_000_000),
  filters: fc.oneof(
    { weight: 5, arbitrary: fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.array(fc.nat({ max: 255 }), { minLength: 1, maxLength: 3 }) },
  ),
  palette: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(6, 48, 768) },
    { weight: 2, arbitrary: fc.constantFrom(undefined, 0, 3, 4, 771) },
  ),
  transparency: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 6, 256, 300) },
  ),
  extra: fc.array(extra, { maxLength: 2 }),
  pieces: fc.constantFrom(1, 1, 2, 5, 0),
  brokenCrc: mostly(false, true),
});

const SAMPLES: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

function chunk(type: string, data: Buffer, broken = false): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [head, tail] = [Buffer.alloc(4), Buffer.alloc(4)];
  head.writeUInt32BE(data.length);
  tail.writeUInt32BE((crc32(body) + (broken ? 1 : 0)) >>> 0);
  return Buffer.concat([head, body, tail]);
}

export function writePng(p: PngPlan): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(p.width, 0);
  header.writeUInt32BE(p.height, 4);
  header.set([p.depth, p.colour, ...p.method], 8);
  const rowBytes = 1 + Math.ceil((p.width * (SAMPLES[p.colour] ?? 1) * p.depth) / 8);
  const rows = Math.min(p.height, 1200);
  const size = Math.max(0, Math.min(rows * Math.min(rowBytes, 20_000) + p.off, 12_000_000));
  const pixels = Buffer.alloc(size, 0x11);
  for (let row = 0; row < rows && row * rowBytes < size; row += 1) {
    pixels[row * rowBytes] = p.filters[row % p.filters.length]!;
  }
  const packed = deflateSync(pixels, { level: 1 });
  const step = Math.max(1, Math.ceil(packed.length / Math.max(1, p.pieces)));
  const parts =
    p.pieces === 0 ? [] : Array.from({ length: p.pieces }, (_, i) => packed.subarray(i * step, (i + 1) * step));
  const at = (where: PngPlan['extra'][number]['at']): Buffer[] =>
    p.extra.filter((e) => e.at === where).map((e) => chunk(e.type, Buffer.alloc(e.bytes, 1)));
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    ...at('first'),
    chunk('IHDR', header, p.brokenCrc),
    ...at('second'),
    ...(p.palette === undefined ? [] : [chunk('PLTE', Buffer.alloc(p.palette, 3))]),
    ...(p.transparency === undefined ? [] : [chunk('tRNS', Buffer.alloc(p.transparency, 4))]),
    ...parts.flatMap((data, i) => [...(i === 1 ? at('in the pixels') : []), chunk('IDAT', data)]),
    ...at('last'),
    chunk('IEND', Buffer.alloc(0)),
    ...at('behind'),
  ]);
}
