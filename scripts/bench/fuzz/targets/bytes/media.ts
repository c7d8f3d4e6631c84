/** Recordings as nodes leave them: what is read of a file that came, and what is sent of several that are joined. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import * as fc from 'fast-check';
import {
  choosePieces,
  cutPieces,
  readRange,
  totalOf,
  type Piece,
} from '../../../../../src/domains/recordings/playback/playback';
import { inspectMedia, type MediaFacts } from '../../../../../src/domains/recordings/playback/media-file';
import type { PartRow } from '../../../../../src/domains/recordings/parts.store';
import type { RecordingFormat, RecordingRow } from '../../../../../src/domains/recordings/recordings.store';
import type { ByteRange, RecordingStorage } from '../../../../../src/domains/recordings/storage/storage';
import { SwitchyardError } from '../../../../../src/errors';
import { mp4Plans, wavPlans, writeMp4, writeWav } from '../../grammar/media';
import { damage, damages } from '../../grammar/text';
import { mustBeQuickAsync } from '../../pace';
import { defineAsyncTarget, must, mustEqual, type Target } from '../../target';
import { wavHeader } from '../../../../../src/infra/wav';

export type InspectMedia = (path: string, format: RecordingFormat) => Promise<MediaFacts>;

/** What bigint of Postgres and a number of JSON both hold. */
const isCount = (value: number | null): boolean => value === null || (Number.isSafeInteger(value) && value >= 0);

/** A file is told by few reads; the time of one is measured in the same run. */
const MOST_READS = 6000;
const MEASURED = 20;

async function measureReadMs(path: string): Promise<number> {
  const handle = await open(path, 'r');
  const from = performance.now();
  try {
    for (let i = 0; i < MEASURED; i += 1) await handle.read(Buffer.alloc(16), 0, 16, 0);
    return (performance.now() - from) / MEASURED;
  } finally {
    await handle.close();
  }
}

export function mediaTarget(inspect: InspectMedia = inspectMedia): Target {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-fuzz-media-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'recording');
  return defineAsyncTarget({
    name: 'media',
    holds:
      'a file is told playable or not and how long it is, in numbers that can be kept, soon, and never by an exception',
    perBatch: 500,
    inputs: fc.record({ plan: fc.oneof(wavPlans, mp4Plans), damages }),
    async check({ plan, damages: list }) {
      const bytes = damage(plan.kind === 'wav' ? writeWav(plan) : writeMp4(plan), list);
      writeFileSync(file, bytes);
      let facts: MediaFacts = { playable: false, durationMs: null };
      const limitMs = 20 + MOST_READS * (await measureReadMs(file));
      await mustBeQuickAsync(`${bytes.length} bytes of ${plan.kind}`, limitMs, async () => {
        facts = await inspect(file, plan.kind);
      });
      must(isCount(facts.durationMs), () => `a length of ${facts.durationMs} ms`);
      must(!facts.playable || facts.durationMs !== null, 'playable, and of no length');
      const { wav } = facts;
      if (wav) must(wav.dataFrom + wav.dataBytes <= bytes.length && wav.dataBytes >= 0, 'sound behind the end');
      return facts.playable ? 'playable' : 'broken';
    },
  });
}

interface JoinInput {
  files: Buffer[];
  range: string | undefined;
}

/** Files as whole as those that are stored, and some that only look so. */
const joinable: fc.Arbitrary<Buffer> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(16, 18), fc.nat({ max: 60 }), damages)
      .map(([format, sound, list]) =>
        damage(Buffer.concat([wavHeader(Buffer.alloc(format, 1), sound), Buffer.alloc(sound, 0xaa)]), list),
      ),
  },
  { weight: 1, arbitrary: wavPlans.map((plan) => writeWav({ ...plan, chunks: plan.chunks.slice(0, 3) })) },
);

const ranges = fc.oneof(
  fc.constant(undefined),
  fc.constantFrom(
    'bytes=0-',
    'bytes=-1',
    'bytes=-0',
    'bytes=5-2',
    'bytes=0-0,5-9',
    'bytes=',
    'BYTES=0-1',
    'bytes= 0-1',
  ),
  fc.tuple(fc.nat({ max: 300 }), fc.nat({ max: 300 })).map(([from, to]) => `bytes=${from}-${to}`),
  fc.constantFrom('bytes=999999999999999-', 'bytes=-999999999999999', 'bytes=9999999999999999999-', 'bytes=1-9e9'),
);

export const joinTarget = (choose: typeof choosePieces = choosePieces): Target =>
  defineAsyncTarget<JoinInput>({
    name: 'join',
    holds: 'what is sent of a recording lies within its files, and is as long as its head says, whole and by ranges',
    inputs: fc.record({ files: fc.array(joinable, { minLength: 1, maxLength: 3 }), range: ranges }),
    async check({ files, range: asked }) {
      const storage = storageOf(files);
      const parts = files.map(
        (file, i) =>
          ({
            number: i + 1,
            state: 'stored',
            storage_key: String(i),
            bytes: String(file.length),
            playable: null,
          }) as unknown as PartRow,
      );
      const recording = { format: 'wav', state: 'stored', deleted_at: null } as unknown as RecordingRow;
      let pieces: Piece[];
      try {
        pieces = await choose({ storage }, recording, parts, undefined);
      } catch (error) {
        must(error instanceof SwitchyardError && error.status < 500, () => `it threw ${String(error)}`);
        return 'refused';
      }
      mustLieWithin(pieces, files);
      const total = totalOf(pieces);
      const range = readRange(asked, total);
      if (range === 'bad') return 'no such range';
      const sent = range ?? { from: 0, to: total - 1 };
      must(
        total === 0 || (sent.from >= 0 && sent.to < total && sent.from <= sent.to),
        () => `the range ${JSON.stringify(range)} of ${total}`,
      );
      const cut = cutPieces(pieces, sent);
      mustLieWithin(cut, files);
      const whole = bytesOf(pieces, files);
      must(bytesOf(cut, files).equals(whole.subarray(sent.from, sent.to + 1)), 'other bytes than those of the range');
      if (files.length > 1 && pieces.length > 0) {
        const first = pieces[0]!;
        must('bytes' in first, 'joined without a head');
        const said = first.bytes.readUInt32LE(first.bytes.length - 4);
        mustEqual(said, total - first.bytes.length, 'the length in the joined head');
      }
      return range ? 'a range' : 'whole';
    },
  });

function storageOf(files: readonly Buffer[]): RecordingStorage {
  const open = (key: string, { from, to }: ByteRange): Promise<Readable> => {
    must(from >= 0 && to >= from && to < files[Number(key)]!.length, `bytes ${from} to ${to} are opened`);
    return Promise.resolve(Readable.from([files[Number(key)]!.subarray(from, to + 1)]));
  };
  return { open } as unknown as RecordingStorage;
}

function mustLieWithin(pieces: readonly Piece[], files: readonly Buffer[]): void {
  for (const piece of pieces) {
    if ('bytes' in piece) continue;
    const size = files[Number(piece.key)]!.length;
    const isWithin = piece.from >= 0 && piece.length >= 0 && piece.from + piece.length <= size;
    must(isWithin, () => `bytes ${piece.from} + ${piece.length} of a file of ${size}`);
  }
}

const bytesOf = (pieces: readonly Piece[], files: readonly Buffer[]): Buffer =>
  Buffer.concat(
    pieces.map((piece) =>
      'bytes' in piece ? piece.bytes : files[Number(piece.key)]!.subarray(piece.from, piece.from + piece.length),
    ),
  );
