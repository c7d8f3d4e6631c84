/** Plays recordings out: whole or by ranges, one part or all; sound is joined as it is read, pictures are not. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import { SwitchyardError } from '../../../errors';
import type { RecordingDeps } from '../control/transition';
import { isDamaged, type PartRow } from '../parts.store';
import type { RecordingRow } from '../recordings.store';
import { CONTENT_TYPES, type ByteRange, type RecordingStorage } from '../storage/storage';
import { wavHeader } from '../../../infra/wav';

/** A piece of what is sent: bytes of ours, or a stretch of a file. */
export type Piece = { bytes: Buffer } | { key: string; from: number; length: number };

const lengthOf = (piece: Piece): number => ('bytes' in piece ? piece.bytes.length : piece.length);
export const totalOf = (pieces: readonly Piece[]): number => pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);

/** A listener who takes nothing for this long is let go. */
const SILENCE_MS = 60_000;

/**
 * Reads `Range: bytes=…` (RFC 9110). Several ranges at once are answered with the whole, as it allows.
 * @returns undefined for the whole, `bad` where nothing of it is there
 */
export function readRange(header: string | undefined, total: number): ByteRange | 'bad' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1], match[2]];
  const from = first === '' ? Math.max(0, total - Number(last)) : Number(first);
  const to = first === '' || last === '' ? total - 1 : Math.min(Number(last), total - 1);
  return from > to || from >= total ? 'bad' : { from, to };
}

/** The pieces of a range of what the pieces make together. */
export function cutPieces(pieces: readonly Piece[], range: ByteRange): Piece[] {
  const cut: Piece[] = [];
  let at = 0;
  for (const piece of pieces) {
    const length = lengthOf(piece);
    const from = Math.max(range.from - at, 0);
    const to = Math.min(range.to - at, length - 1);
    if (from <= to) {
      cut.push(
        'bytes' in piece
          ? { bytes: piece.bytes.subarray(from, to + 1) }
          : { key: piece.key, from: piece.from + from, length: to - from + 1 },
      );
    }
    at += length;
  }
  return cut;
}

async function* readPieces(storage: RecordingStorage, pieces: readonly Piece[]): AsyncIterable<Buffer> {
  for (const piece of pieces) {
    if ('bytes' in piece) yield piece.bytes;
    else yield* await storage.open(piece.key, { from: piece.from, to: piece.from + piece.length - 1 });
  }
}

const wholeOf = (part: PartRow): Piece => ({ key: part.storage_key!, from: 0, length: Number(part.bytes) });

/**
 * What `GET …/media` sends.
 * @param damaged a part that can't be played is sent all the same, for programs that rescue such files
 * @throws gone, not_found for a part that is not here, conflict where it can't be played or parts can't be joined
 */
export async function choosePieces(
  deps: Pick<RecordingDeps, 'storage'>,
  recording: RecordingRow,
  parts: readonly PartRow[],
  number: number | undefined,
  damaged = false,
): Promise<Piece[]> {
  if (recording.deleted_at) throw new SwitchyardError('gone', 'The recording was deleted.');
  const stored = parts.filter((part) => part.state === 'stored' && part.storage_key);
  if (number !== undefined) {
    const part = parts.find((p) => p.number === number);
    if (part && (stored.includes(part) || (damaged && isDamaged(part)))) return [wholeOf(part)];
    if (part && isDamaged(part)) throw refuseDamaged(part);
    const why = part ? `is ${part.state}${part.fault ? `: ${part.fault}` : ''}` : 'was never made';
    throw new SwitchyardError('not_found', `Part ${number} is not here: it ${why}.`);
  }
  if (stored.length === 0) {
    const broken = parts.find(isDamaged);
    if (broken) throw refuseDamaged(broken);
    const fault = parts.findLast((part) => part.fault)?.fault;
    throw new SwitchyardError(
      'not_found',
      `The recording is ${recording.state}, and no file of it is here${fault ? `: ${fault}` : ''}.`,
    );
  }
  if (stored.length === 1) return [wholeOf(stored[0]!)];
  const numbers = stored.map((part) => part.number).join(', ');
  if (recording.format !== 'wav') {
    throw new SwitchyardError('conflict', `Video parts can't be joined: request one with ?part=, one of ${numbers}.`);
  }
  return joinWavs(deps.storage, stored, numbers);
}

const refuseDamaged = (part: PartRow): SwitchyardError =>
  new SwitchyardError(
    'conflict',
    `Part ${part.number}: ${part.fault}. For its bytes as they are: ?part=${part.number}&damaged=true.`,
  );

/** The head of a file of FreeSWITCH's is 44 or some more bytes; its sound comes right after. */
const HEAD_BYTES = 4096;
/** A head with a format of 16 bytes and no sound behind it. */
const LEAST_BYTES = 44;

async function joinWavs(storage: RecordingStorage, parts: readonly PartRow[], numbers: string): Promise<Piece[]> {
  const sounds: { format: Buffer; piece: Extract<Piece, { key: string }> }[] = [];
  for (const part of parts) {
    const bytes = Number(part.bytes);
    if (bytes < LEAST_BYTES) continue;
    const head = await readAll(await storage.open(part.storage_key!, { from: 0, to: Math.min(HEAD_BYTES, bytes) - 1 }));
    const at = head.indexOf('data', 12, 'latin1');
    if (at < 36 || at + 8 > bytes) continue;
    const piece = { key: part.storage_key!, from: at + 8, length: bytes - at - 8 };
    sounds.push({ format: head.subarray(20, 20 + head.readUInt32LE(16)), piece });
  }
  const format = sounds[0]?.format;
  if (!format || sounds.some((sound) => !sound.format.equals(format))) {
    throw new SwitchyardError(
      'conflict',
      `These parts have different audio formats: request one with ?part=, one of ${numbers}.`,
    );
  }
  const pieces = sounds.map(({ piece }) => piece);
  return [{ bytes: wavHeader(format, totalOf(pieces)) }, ...pieces];
}

async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Writes the answer by itself, in full or in part. */
export async function sendPieces(
  storage: RecordingStorage,
  o: { request: Request; response: Response; recording: RecordingRow; pieces: Piece[]; part: number | undefined },
): Promise<void> {
  const { request, response, recording } = o;
  const total = totalOf(o.pieces);
  const range = readRange(request.get('range'), total);
  response.set('Accept-Ranges', 'bytes');
  if (range === 'bad') {
    response.status(416).set('Content-Range', `bytes */${total}`).end();
    return;
  }
  const name = `recording-${recording.id}${o.part === undefined ? '' : `-part-${o.part}`}.${recording.format}`;
  const sent = range ?? { from: 0, to: total - 1 };
  response.status(range ? 206 : 200).set({
    'Content-Type': CONTENT_TYPES[recording.format],
    'Content-Length': String(sent.to - sent.from + 1),
    'Content-Disposition': `attachment; filename="${name}"`,
    ...(range ? { 'Content-Range': `bytes ${sent.from}-${sent.to}/${total}` } : {}),
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  response.setTimeout(SILENCE_MS, () => response.destroy());
  // A listener who leaves in the middle is no fault; a file that can't be read ends the answer short.
  await pipeline(Readable.from(readPieces(storage, cutPieces(o.pieces, sent))), response).catch(() =>
    response.destroy(),
  );
}
