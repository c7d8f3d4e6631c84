/** RTMP from a stranger: the RTMP listener reads it before anybody has named a stream, and a tenant's target answers in it. */
import * as fc from 'fast-check';
import { ChunkReader, type RtmpMessage } from '../../../../../src/domains/relays/rtmp/chunks';
import { RtmpFault } from '../../../../../src/domains/relays/rtmp/fault';
import { SOURCE } from '../../../../../src/domains/relays/rtmp/limits';
import { decodeAmf } from '../../../../../src/domains/relays/rtmp/amf';
import { amfBytes } from '../../grammar/amf';
import { keepToTheBook, rtmpSteps, writeRtmp, type Sent, type Step } from '../../grammar/rtmp';
import { cutBytes, cutEvery, cuts, damage, damages } from '../../grammar/text';
import { heldBytes } from '../../memory';
import { GROWTH, mustBeLinear, mustBeQuick } from '../../pace';
import { defineTarget, must, mustEqual, OracleFault, type Target } from '../../target';

/** What a reader of chunks is to a fuzzer; a faulty one can be put in its place. */
export type MakeChunkReader = (onMessage: (message: RtmpMessage) => void) => { push(bytes: Buffer): void };

const real: MakeChunkReader = (onMessage) => new ChunkReader(SOURCE, onMessage);

/** The one failure a reader may have. */
/** Node's own RangeError is another class where tests run in a sandbox. */
const isRefusal = (error: unknown): boolean =>
  error instanceof RtmpFault || (error as Error | undefined)?.name === 'RangeError';

interface Outcome {
  messages: (Sent & { hash: number })[];
  refused: boolean;
}

/** What comes out of the bytes, until the reader refuses them: then a connection is closed and nothing more is read. */
function readAll(make: MakeChunkReader, parts: readonly Buffer[]): Outcome {
  const messages: Outcome['messages'] = [];
  const reader = make(({ type, timestamp, payload }) =>
    messages.push({ type, timestamp, length: payload.length, hash: weigh(payload) }),
  );
  try {
    for (const part of parts) reader.push(part);
  } catch (error) {
    if (isRefusal(error)) return { messages, refused: true };
    throw new OracleFault(`it threw ${String(error)}`, { cause: error });
  }
  return { messages, refused: false };
}

function weigh(bytes: Buffer): number {
  let sum = bytes.length;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) | 0;
  return sum;
}

/** What is refused is not read on: mostly by the book, so that something is read. */
const anySteps = fc.oneof({ weight: 3, arbitrary: rtmpSteps.map(keepToTheBook) }, { weight: 2, arbitrary: rtmpSteps });

export const rtmpTarget = (make: MakeChunkReader = real): Target =>
  defineTarget({
    name: 'rtmp',
    holds:
      'messages come out as they were sent, however reads are cut; what is no RTMP is refused by one kind of error',
    inputs: fc.record({ steps: anySteps, damages, cuts }),
    check(input) {
      const { bytes, sent } = writeRtmp(input.steps);
      const wire = damage(bytes, input.damages);
      const whole = readAll(make, [wire]);
      const cut = readAll(make, cutBytes(wire, input.cuts));
      mustEqual(cut, whole, 'the same bytes in other reads');
      if (wire.length < 2000) mustEqual(readAll(make, cutEvery(wire, 1)), whole, 'the same bytes one by one');
      if (input.damages.length > 0 || !sent) return whole.refused ? 'refused' : 'read';
      must(!whole.refused, 'RTMP by the book is refused');
      mustEqual(
        whole.messages.map(({ type, timestamp, length }) => ({ type, timestamp, length })),
        sent,
        'the messages that were sent',
      );
      return 'by the book';
    },
  });

/** What stands before is read in both: long, it would hide how the rest grows. */
const withoutLong = (steps: readonly Step[]): readonly Step[] =>
  steps.filter((s) => s.do !== 'message' || s.bytes <= 700);

const SMALL_BYTES = 3072;

export const rtmpPaceTarget = (make: MakeChunkReader = real): Target =>
  defineTarget({
    name: 'rtmp-pace',
    holds: 'the time goes with the bytes, whatever they are and however they are cut',
    perBatch: 100,
    inputs: fc.record({
      first: anySteps.map(withoutLong),
      again: anySteps.map(withoutLong),
      readBytes: fc.constantFrom(1, 17, 1460, 65_536),
    }),
    check({ first, again, readBytes }) {
      const before = writeRtmp(first).bytes;
      const piece = writeRtmp(again).bytes;
      const unit = piece.length > 0 ? piece : Buffer.from([0]);
      const streamOf = (times: number): Buffer[] => {
        const copies = Math.ceil((SMALL_BYTES * times) / unit.length);
        return cutEvery(Buffer.concat([before, ...Array<Buffer>(copies).fill(unit)]), readBytes);
      };
      const streams = new Map([1, GROWTH].map((times) => [times, streamOf(times)]));
      mustBeLinear(`reads of ${readBytes} bytes`, (times) => void readAll(make, streams.get(times)!));
      return 'measured';
    },
  });

/** What one connection may make us keep that has sent next to nothing. */
const MOST_HELD_BYTES = 24 * 1024 * 1024;
/** What a stranger who was not let in yet may send in this test. */
const SENT_BYTES = 64 * 1024 * 1024;
const CHUNK_BYTES = 65_536;

export const rtmpMemoryTarget = (make: MakeChunkReader = real): Target =>
  defineTarget({
    name: 'rtmp-memory',
    holds: 'a connection keeps little of what it is sent, and nothing of what is only announced',
    perBatch: 10,
    inputs: fc.record({
      streams: fc.integer({ min: 1, max: 64 }),
      announced: fc.constantFrom(1000, 65_536, 1_000_000, 8_000_000, 16_777_215),
      /** How much of each message is sent, in thousandths. */
      share: fc.constantFrom(0, 1, 500, 999),
    }),
    check({ streams, announced, share }) {
      let isRefused = false;
      let sent = 0;
      const held = heldBytes(() => {
        const reader = make(() => undefined);
        for (let i = 0; i < streams && sent < SENT_BYTES && !isRefused; i += 1) {
          const one = [
            { do: 'chunk size' as const, size: CHUNK_BYTES },
            { do: 'begin' as const, stream: 3 + i, announced, chunks: 0 },
          ];
          const head = writeRtmp(i === 0 ? one : one.slice(1)).bytes;
          try {
            reader.push(head);
            const body = Math.floor((announced * share) / 1000 / CHUNK_BYTES) * CHUNK_BYTES;
            for (let at = 0; at < body; at += CHUNK_BYTES) {
              if (at > 0) reader.push(Buffer.from(3 + i < 64 ? [0xc0 | (3 + i)] : [0xc0, 3 + i - 64]));
              reader.push(Buffer.alloc(CHUNK_BYTES));
              sent += CHUNK_BYTES;
            }
          } catch (error) {
            must(isRefusal(error), () => `it threw ${String(error)}`);
            isRefused = true;
          }
        }
        return isRefused ? undefined : reader;
      });
      must(held < MOST_HELD_BYTES, () => `${(held / 1e6).toFixed(0)} MB are kept of ${(sent / 1e6).toFixed(0)} MB`);
      return isRefused ? 'refused' : 'kept';
    },
  });

export type DecodeAmf = (bytes: Buffer) => unknown[];

export const amfTarget = (decode: DecodeAmf = decodeAmf): Target =>
  defineTarget({
    name: 'amf',
    holds: 'a command is values or is refused by one kind of error, gives no more values than bytes, and takes no time',
    inputs: fc.record({ values: fc.array(amfBytes, { maxLength: 6 }), damages, times: fc.constantFrom(1, 1, 1, 200) }),
    check(input) {
      const one = damage(Buffer.concat(input.values), input.damages);
      const bytes = input.times === 1 ? one : Buffer.concat(Array<Buffer>(input.times).fill(one));
      let values: unknown[];
      try {
        values = decode(bytes);
      } catch (error) {
        must(isRefusal(error), () => `it threw ${String(error)}`);
        return 'refused';
      }
      must(count(values) <= bytes.length, 'more values than bytes');
      mustBeQuick(`${bytes.length} bytes of AMF`, 40 + bytes.length / 1000, () => void decode(bytes));
      must(({} as { polluted?: unknown }).polluted === undefined, 'a prototype was changed');
      return 'read';
    },
  });

function count(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce<number>((sum, inner) => sum + count(inner), Array.isArray(value) ? 0 : 1);
}
