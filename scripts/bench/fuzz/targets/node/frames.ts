/** What nodes say: the byte stream of their Event Socket, its events, and their answers to commands. */
import * as fc from 'fast-check';
import * as esl from '../../../../../src/freeswitch/esl';
import { EslError } from '../../../../../src/freeswitch/esl/connection/faults';
import { FrameReader } from '../../../../../src/freeswitch/esl/connection/framing';
import { parseRawEvent, typedEvent } from '../../../../../src/freeswitch/esl/events/parse-event';
import { eventTexts, framePlans, replyTexts, writeFrames } from '../../grammar/frames';
import { anyText, cutBytes, cutEvery, cuts, damage, damages } from '../../grammar/text';
import { GROWTH, mustBeLinear } from '../../pace';
import { defineTarget, must, mustEqual, OracleFault, type Target } from '../../target';

export type MakeFrameReader = (
  onFrame: (frame: { contentType: string; headers: ReadonlyMap<string, string>; body: Buffer | undefined }) => void,
) => {
  push(chunk: Buffer): void;
};

const real: MakeFrameReader = (onFrame) => new FrameReader(onFrame);

interface Outcome {
  frames: unknown[];
  refused: boolean;
}

function readAll(make: MakeFrameReader, parts: readonly Buffer[]): Outcome {
  const frames: unknown[] = [];
  const reader = make(({ contentType, headers, body }) =>
    frames.push({ contentType, headers: [...headers], body: body?.toString('latin1') }),
  );
  try {
    for (const part of parts) reader.push(part);
  } catch (error) {
    if (error instanceof EslError && error.kind === 'bad_reply') return { frames, refused: true };
    throw new OracleFault(`it threw ${String(error)}`, { cause: error });
  }
  return { frames, refused: false };
}

export const framesTarget = (make: MakeFrameReader = real): Target =>
  defineTarget({
    name: 'frames',
    holds: 'the same frames come out, and the same refusal, however reads are cut',
    inputs: fc.record({ plans: framePlans, damages, cuts }),
    check(input) {
      const bytes = damage(writeFrames(input.plans), input.damages);
      const whole = readAll(make, [bytes]);
      mustEqual(readAll(make, cutBytes(bytes, input.cuts)), whole, 'the same bytes in other reads');
      if (bytes.length < 2000) mustEqual(readAll(make, cutEvery(bytes, 1)), whole, 'the same bytes one by one');
      return whole.refused ? 'refused' : `${whole.frames.length > 0 ? 'frames' : 'nothing'}`;
    },
  });

export const framesPaceTarget = (make: MakeFrameReader = real): Target =>
  defineTarget({
    name: 'frames-pace',
    holds: 'the time of reading goes with the bytes, however they are cut',
    perBatch: 100,
    inputs: fc.record({ plans: framePlans, readBytes: fc.constantFrom(1, 100, 1460, 65_536) }),
    check({ plans, readBytes }) {
      const unit = Buffer.concat([writeFrames(plans), Buffer.from('\n')]);
      const streamOf = (times: number): Buffer[] =>
        cutEvery(Buffer.concat(Array<Buffer>(Math.ceil((4096 * times) / unit.length)).fill(unit)), readBytes);
      const streams = new Map([1, GROWTH].map((times) => [times, streamOf(times)]));
      mustBeLinear(`reads of ${readBytes} bytes`, (times) => void readAll(make, streams.get(times)!));
      return 'measured';
    },
  });

export type ReadEvent = (body: Buffer) => unknown;

const realEvent: ReadEvent = (body) => {
  const raw = parseRawEvent(body);
  return raw && typedEvent(raw);
};

/** Fields of typed events that are no text. */
const NUMBERS = /Ms$|Count$|Percent$|Seconds$|Port$|^(maxSessions|sessionsPerSecondLeft|size|memberNumber)$/;

export const eventsTarget = (read: ReadEvent = realEvent): Target =>
  defineTarget({
    name: 'events',
    holds: 'an event is a typed value or none: texts are texts, numbers are finite, and nothing is thrown',
    inputs: fc.record({
      text: fc.oneof({ weight: 9, arbitrary: eventTexts }, { weight: 1, arbitrary: anyText }),
      damages,
    }),
    check({ text, damages: list }) {
      const event = read(damage(Buffer.from(text), list));
      if (event === undefined) return 'none';
      const { type } = event as { type: string };
      const variables = (event as { variables?: unknown }).variables;
      const fields = { ...(event as object), ...(variables ? { variables } : {}) };
      for (const [name, value] of Object.entries(fields)) mustBeTyped(`${type}.${name}`, name, value);
      must(({} as { polluted?: unknown }).polluted === undefined, 'a prototype was changed');
      return type;
    },
  });

function mustBeTyped(where: string, name: string, value: unknown): void {
  if (value === undefined || value === null || typeof value === 'boolean') return;
  if (name === 'fields' || name === 'reply') return;
  if (name === 'variables') {
    for (const [key, inner] of Object.entries(value))
      must(typeof inner === 'string', () => `${where}.${key} is no text`);
    return;
  }
  if (NUMBERS.test(name)) {
    must(typeof value === 'number' && Number.isFinite(value), () => `${where} is ${String(value)}`);
    if (/(Count|Seconds|Port|Sessions|size)$/.test(name)) {
      must(Number.isInteger(value) && value >= 0 && value < 2 ** 31, () => `${where} is ${String(value)}`);
    }
    // What becomes a Date, or a column, must be one.
    if (name.endsWith('Ms')) must(Number.isSafeInteger(value), () => `${where} is ${String(value)}`);
    if (name.endsWith('Ms') && !/duration|uptime/i.test(name)) {
      must(!Number.isNaN(new Date(value).getTime()), () => `${where}, ${String(value)}, is no time`);
    }
    return;
  }
  must(typeof value === 'string', () => `${where} is ${typeof value}`);
  must(!value.includes('\u0000'), () => `${where} holds a NUL, which no store takes`);
}

type Reader = (reply: string) => unknown;

/** Everything that reads an answer of a node. */
const REPLY_READERS: Readonly<Record<string, Reader>> = {
  parseReply: esl.parseReply,
  parseRooms: esl.parseRooms,
  parseRoomFlags: esl.parseRoomFlags,
  parseRoomFlagsOfOne: (reply) => esl.parseRoomFlags(reply, 'a'),
  parseChannels: esl.parseChannels,
  parseRegistrations: esl.parseRegistrations,
  parseMediaCounters: esl.parseMediaCounters,
  readLegRecordings: esl.readLegRecordings,
  parseSizes: (reply) => [...esl.parseSizes(reply)],
  parseHash: esl.parseHash,
  parsePrinted: esl.parsePrinted,
  parseFreeBytes: esl.parseFreeBytes,
  readSent: esl.readSent,
};

export const repliesTarget = (readers: Readonly<Record<string, Reader>> = REPLY_READERS): Target =>
  defineTarget({
    name: 'replies',
    holds:
      'an answer is read or refused by one kind of error, in finite numbers, and in a time that goes with its length',
    inputs: fc.record({
      reader: fc.constantFrom(...Object.keys(readers)),
      text: replyTexts,
      times: fc.constantFrom(1, 1, 1, 1, 1, 1, 1, 1, 1, 60),
    }),
    check({ reader, text, times }) {
      const read = readers[reader]!;
      let value: unknown;
      const attempt = (reply: string): void => {
        try {
          value = read(reply);
        } catch (error) {
          must(error instanceof EslError, () => `${reader} threw ${String(error)}`);
          value = undefined;
        }
      };
      attempt(text);
      mustBeFinite(reader, value);
      if (times > 1) {
        const unit = Math.max(1, Math.ceil(6000 / Math.max(1, text.length)));
        mustBeLinear(reader, (n) => attempt(text.repeat(unit * n)));
      }
      return value === undefined ? 'refused' : 'read';
    },
  });

function mustBeFinite(where: string, value: unknown): void {
  if (typeof value === 'number') must(Number.isFinite(value), () => `${where} reads ${value}`);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return;
  for (const inner of Object.values(value)) mustBeFinite(where, inner);
}
