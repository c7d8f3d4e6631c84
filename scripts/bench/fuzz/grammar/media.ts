/** Writes recordings as a killed or a hostile node might leave them: RIFF chunks and mp4 boxes with lengths that lie. */
import * as fc from 'fast-check';

const lengthLie = fc.oneof(
  { weight: 6, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 7, 8, 15, 16, 0x7fffffff, 0xffffffff) },
);

export interface RiffChunk {
  name: string;
  bytes: number;
  said: number | undefined;
  times: number;
}

export interface WavPlan {
  kind: 'wav';
  magic: string;
  chunks: readonly RiffChunk[];
  bytesPerSecond: number;
}

const riffChunk: fc.Arbitrary<RiffChunk> = fc.record({
  name: fc.constantFrom('fmt ', 'data', 'LIST', 'fact', 'JUNK', '\0\0\0\0'),
  bytes: fc.oneof(
    { weight: 3, arbitrary: fc.constant(16) },
    { weight: 2, arbitrary: fc.constantFrom(0, 1, 2, 4, 15, 17, 18, 40, 4096, 4097, 9000) },
  ),
  said: lengthLie,
  times: fc.constantFrom(1, 1, 1, 1, 1, 20_000),
});
const FORMAT: RiffChunk = { name: 'fmt ', bytes: 16, said: undefined, times: 1 };
const SOUND: RiffChunk = { name: 'data', bytes: 40, said: undefined, times: 1 };

export const wavPlans: fc.Arbitrary<WavPlan> = fc.record({
  kind: fc.constant('wav' as const),
  magic: fc.oneof(
    { weight: 9, arbitrary: fc.constant('RIFF\0\0\0\0WAVE') },
    { weight: 1, arbitrary: fc.constantFrom('', 'RIFF', 'RIFF\0\0\0\0AVI ', 'RIFX\0\0\0\0WAVE') },
  ),
  chunks: fc
    .tuple(fc.boolean(), fc.array(riffChunk, { maxLength: 5 }))
    .map(([isWhole, list]) => (isWhole ? [FORMAT, ...list, SOUND] : list)),
  bytesPerSecond: fc.constantFrom(16_000, 32_000, 0, 1, 0xffffffff),
});

export interface Mp4Box {
  name: string;
  /** As in the box: 32 bits, 64 bits, or "until the end". */
  size: 'short' | 'long' | 'rest';
  said: number | undefined;
  content: Uint8Array | 'mvhd' | 'mvhd long';
  times: number;
}

export interface Mp4Plan {
  kind: 'mp4';
  boxes: readonly Mp4Box[];
  inMoov: readonly Mp4Box[];
  scale: number;
  duration: number;
}

const box: fc.Arbitrary<Mp4Box> = fc.record({
  name: fc.constantFrom('ftyp', 'mdat', 'moov', 'mvhd', 'mvhd', 'mvhd', 'free', 'trak', '\0\0\0\0'),
  size: fc.constantFrom('short' as const, 'short' as const, 'short' as const, 'long' as const, 'rest' as const),
  said: lengthLie,
  content: fc.oneof(fc.constant('mvhd' as const), fc.constant('mvhd long' as const), fc.uint8Array({ maxLength: 40 })),
  times: fc.constantFrom(1, 1, 1, 1, 1, 20_000),
});

const MOOV: Mp4Box = { name: 'moov', size: 'short', said: undefined, content: 'mvhd', times: 1 };

export const mp4Plans: fc.Arbitrary<Mp4Plan> = fc.record({
  kind: fc.constant('mp4' as const),
  boxes: fc
    .tuple(fc.boolean(), fc.array(box, { maxLength: 4 }))
    .map(([isWhole, list]) => (isWhole ? [...list, { ...MOOV }] : list)),
  inMoov: fc.array(box, { maxLength: 4 }),
  scale: fc.constantFrom(1000, 90_000, 0, 1, 0xffffffff),
  duration: fc.constantFrom(0, 1, 60_000, 0xffffffff),
});

export function writeWav(p: WavPlan): Buffer {
  const parts = p.chunks.flatMap((c) => {
    const body = Buffer.alloc(c.bytes + (c.bytes % 2), 1);
    if (c.name === 'fmt ' && c.bytes >= 12) body.writeUInt32LE(p.bytesPerSecond, 8);
    const head = Buffer.alloc(8);
    head.write(c.name, 'latin1');
    head.writeUInt32LE(c.said ?? c.bytes, 4);
    const one = Buffer.concat([head, body]);
    return Array<Buffer>(c.bytes > 64 ? 1 : c.times).fill(one);
  });
  return Buffer.concat([Buffer.from(p.magic, 'latin1'), ...parts]);
}

export function writeMp4(p: Mp4Plan): Buffer {
  const mvhd = (isLong: boolean): Buffer => {
    const bytes = Buffer.alloc(isLong ? 112 : 100);
    bytes[0] = isLong ? 1 : 0;
    bytes.writeUInt32BE(p.scale, isLong ? 20 : 12);
    if (isLong) bytes.writeBigUInt64BE(BigInt(p.duration) * 0x10001n, 24);
    else bytes.writeUInt32BE(p.duration, 16);
    return bytes;
  };
  const write = (b: Mp4Box, inside: Buffer | undefined): Buffer[] => {
    const content =
      inside ?? (typeof b.content === 'string' ? mvhd(b.content === 'mvhd long') : Buffer.from(b.content));
    const head = Buffer.alloc(b.size === 'long' ? 16 : 8);
    const total = head.length + content.length;
    head.writeUInt32BE(b.size === 'short' ? (b.said ?? total) : b.size === 'long' ? 1 : 0);
    head.write(b.name, 4, 'latin1');
    if (b.size === 'long') head.writeBigUInt64BE(BigInt(b.said ?? total) * (b.said === 0x7fffffff ? 0x10001n : 1n), 8);
    return Array<Buffer>(total > 64 ? 1 : b.times).fill(Buffer.concat([head, content]));
  };
  const moov = Buffer.concat(p.inMoov.flatMap((b) => write(b, undefined)));
  return Buffer.concat(p.boxes.flatMap((b) => write(b, b.name === 'moov' ? moov : undefined)));
}
