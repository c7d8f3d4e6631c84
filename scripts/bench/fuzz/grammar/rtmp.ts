/** Writes RTMP as a peer might who means us harm: whole messages in chunks of any size, mixed, broken off, and lies. */
import * as fc from 'fast-check';

/** One thing that a peer sends. */
export type Step =
  | { do: 'message'; stream: number; type: number; bytes: number; timestamp: number; format: 0 | 1 | 2 | 3 }
  /** Some chunks of a message that is announced with this length, and no more of it. */
  | { do: 'begin'; stream: number; announced: number; chunks: number }
  | { do: 'chunk size'; size: number }
  | { do: 'abort'; stream: number }
  | { do: 'bytes'; bytes: Uint8Array };

const stream = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 2, max: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(63, 64, 319, 320, 65_599) },
  { weight: 1, arbitrary: fc.integer({ min: 2, max: 200 }) },
);
const size = fc.constantFrom(0, 1, 2, 127, 128, 129, 4096, 65_536, 0x7fffffff, 0x80000001, 0xffffffff);
const length = fc.oneof(
  { weight: 4, arbitrary: fc.nat({ max: 700 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 127, 128, 129, 4095, 4096, 20_000, 70_000) },
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('message' as const),
      stream,
      type: fc.constantFrom(0, 3, 4, 5, 6, 8, 9, 15, 18, 20, 22, 255),
      bytes: length,
      timestamp: fc.constantFrom(0, 1, 40, 0xfffffe, 0xffffff, 0x1000000, 0xffffffff),
      format: fc.constantFrom(0 as const, 0 as const, 1 as const, 2 as const, 3 as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('begin' as const),
      stream,
      announced: fc.constantFrom(1, 129, 60_000, 0x0fffff, 0x7fffff, 8_388_608, 8_388_609, 0xffffff),
      chunks: fc.integer({ min: 0, max: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('chunk size' as const), size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), stream }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('bytes' as const), bytes: fc.uint8Array({ maxLength: 24 }) }),
  },
);

export const rtmpSteps: fc.Arbitrary<readonly Step[]> = fc.array(step, { minLength: 1, maxLength: 12 });

/** What a reader should hand out. */
export interface Sent {
  type: number;
  timestamp: number;
  length: number;
}

export interface Written {
  bytes: Buffer;
  /** Whole messages, as far as all before them is RTMP by the book; undefined where something is not. */
  sent: Sent[] | undefined;
}

/** What controls a connection has ten bytes at most. */
const CONTROL = [3, 4, 5, 6];
const MOST_CONTROL_BYTES = 64;

/** Below this a chunk size is nobody's: a reader may refuse it, or take it for 128. */
const LEAST_CHUNK_SIZE = 128;
/** A reader may refuse longer messages and more streams at once than these: no publisher and no server needs them. */
const MOST_BYTES = 65_536;
const MOST_STREAMS = 6;

/** The same steps without those that a reader may refuse. */
export const keepToTheBook = (steps: readonly Step[]): readonly Step[] =>
  steps.flatMap((s): Step[] =>
    s.do === 'message' && s.stream <= MOST_STREAMS && !CONTROL.includes(s.type) && s.bytes > 0
      ? [{ ...s, format: s.format === 3 ? 0 : s.format }]
      : s.do === 'chunk size' && s.size >= LEAST_CHUNK_SIZE && s.size <= 0x7fffffff
        ? [s]
        : [],
  );

export function writeRtmp(steps: readonly Step[]): Written {
  const out: Buffer[] = [];
  const seen = new Map<number, { timestamp: number; length: number; type: number; open: boolean }>();
  let sent: Sent[] | undefined = [];
  let chunkSize = 128;
  const leaveTheBook = (): void => void (sent = undefined);
  for (const s of steps) {
    if (s.do === 'bytes') {
      out.push(Buffer.from(s.bytes));
      leaveTheBook();
    } else if (s.do === 'chunk size') {
      out.push(head(2, 0, 0, 4, 1, 0), uint32(s.size));
      const real = s.size & 0x7fffffff;
      if (real < LEAST_CHUNK_SIZE || s.size > 0x7fffffff || seen.get(2)?.open) leaveTheBook();
      seen.set(2, { timestamp: 0, length: 4, type: 1, open: false });
      chunkSize = Math.min(Math.max(1, real), 1 << 20);
    } else if (s.do === 'abort') {
      out.push(head(2, 0, 0, 4, 2, 0), uint32(s.stream));
      if (seen.get(2)?.open) leaveTheBook();
      seen.set(2, { timestamp: 0, length: 4, type: 2, open: false });
      const other = seen.get(s.stream);
      if (other) other.open = false;
    } else if (s.do === 'begin') {
      out.push(head(s.stream, 0, 0, s.announced, 9, 1));
      const all = Math.min(s.announced, s.chunks * Math.min(chunkSize, 4096));
      out.push(chunksOf(s.stream, Buffer.alloc(all, 7), chunkSize, undefined));
      leaveTheBook();
    } else {
      const known = seen.get(s.stream);
      const format = known ? s.format : 0;
      if (known?.open || s.stream > 63 || s.bytes > MOST_BYTES || s.bytes === 0) leaveTheBook();
      // What a shorter head leaves out is as it was before.
      const bytes = format >= 2 ? known!.length : s.bytes;
      const type = format >= 2 ? known!.type : s.type;
      if (format === 3 || type === 1 || type === 2 || s.timestamp >= 0xffffff) leaveTheBook();
      if (CONTROL.includes(type) && bytes > MOST_CONTROL_BYTES) leaveTheBook();
      const timestamp = format === 0 ? s.timestamp : (known!.timestamp + s.timestamp) >>> 0;
      const payload = Buffer.alloc(bytes, 0x61 + (s.stream % 20));
      out.push(
        head(s.stream, format, s.timestamp, bytes, type, 1),
        chunksOf(s.stream, payload, chunkSize, s.timestamp),
      );
      seen.set(s.stream, { timestamp, length: bytes, type, open: false });
      if (seen.size > MOST_STREAMS) leaveTheBook();
      sent?.push({ type, timestamp, length: bytes });
    }
  }
  return { bytes: Buffer.concat(out), sent };
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

function basicHead(stream: number, format: number): Buffer {
  if (stream >= 2 && stream < 64) return Buffer.from([(format << 6) | stream]);
  if (stream < 320) return Buffer.from([format << 6, stream - 64]);
  return Buffer.from([(format << 6) | 1, (stream - 64) & 0xff, (stream - 64) >> 8]);
}

function head(stream: number, format: number, timestamp: number, length: number, type: number, id: number): Buffer {
  const isLate = timestamp >= 0xffffff;
  const rest = Buffer.alloc([11, 7, 3, 0][format]!);
  if (format < 3) rest.writeUIntBE(isLate ? 0xffffff : timestamp, 0, 3);
  if (format < 2) {
    rest.writeUIntBE(length, 3, 3);
    rest[6] = type;
  }
  if (format === 0) rest.writeUInt32LE(id, 7);
  return Buffer.concat([basicHead(stream, format), rest, isLate && format < 3 ? uint32(timestamp) : Buffer.alloc(0)]);
}

/** The payload, with a head of the shortest kind between its chunks. */
function chunksOf(stream: number, payload: Buffer, chunkSize: number, timestamp: number | undefined): Buffer {
  const parts: Buffer[] = [];
  const again = Buffer.concat([
    basicHead(stream, 3),
    timestamp !== undefined && timestamp >= 0xffffff ? uint32(timestamp) : Buffer.alloc(0),
  ]);
  for (let at = 0; at < payload.length; at += chunkSize) {
    if (at > 0) parts.push(again);
    parts.push(payload.subarray(at, at + chunkSize));
  }
  return Buffer.concat(parts);
}
