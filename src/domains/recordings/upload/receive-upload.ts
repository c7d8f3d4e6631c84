/** Takes in a file that a node sends: streamed to disk, weighed and hashed, and kept only when it is the whole file. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SwitchyardError } from '../../../errors';
import { readToken } from '../../../infra/secrets';
import { changeRecording, draftPartEvent, type RecordingDeps } from '../control/transition';
import { explainDamage, noteLength } from './file-length';
import { mendWav } from './mend-wav';
import { inspectMedia, type MediaFacts } from '../playback/media-file';
import { findPart, updatePart, type PartRow } from '../parts.store';
import { CONTENT_TYPES } from '../storage/storage';

export interface Arrival {
  partId: string;
  /** From the address, or undefined where the node shows its own name and password. */
  token: string | undefined;
  /** The node whose credentials were shown, where they were. */
  nodeId: string | undefined;
}

/** @throws unauthorized, forbidden, not_found, gone, conflict */
export async function admitUpload(deps: RecordingDeps, o: Arrival): Promise<PartRow> {
  const claims = o.token === undefined ? undefined : readToken(deps.secretKey, 'recording', o.token, deps.now());
  const isTokenRight = claims?.part === o.partId;
  if (!isTokenRight && o.nodeId === undefined) {
    throw new SwitchyardError(
      'unauthorized',
      "Send the upload's token, or the node's name and password with HTTP Basic.",
    );
  }
  const part = await findPart(deps.db, o.partId);
  if (!part) throw new SwitchyardError('not_found', 'No such part of a recording.');
  if (!isTokenRight && part.node_id !== o.nodeId) {
    throw new SwitchyardError('forbidden', 'This part was recorded by another node.');
  }
  if (part.state === 'stored') return part;
  if (part.state === 'deleted') throw new SwitchyardError('gone', 'The recording was deleted.');
  if (part.state !== 'uploading' || part.sha256 === null || part.bytes === null) {
    throw new SwitchyardError('conflict', `The part is ${part.state}: no upload is expected.`);
  }
  if (isTokenRight && (claims.sha256 !== part.sha256 || claims.bytes !== Number(part.bytes))) {
    throw new SwitchyardError('conflict', 'The file has changed since this token was issued.');
  }
  return part;
}

/**
 * Takes in the body of one upload of a part admitted by admitUpload().
 * @returns `stored`, or `known` where it had arrived before
 * @throws unprocessable where it is another file; unavailable where it can't be kept. Nothing half-written is left.
 */
export async function receiveUpload(deps: RecordingDeps, part: PartRow, body: Readable): Promise<'stored' | 'known'> {
  const file = join(deps.storage.arrivals, `${part.id}.${randomUUID()}`);
  try {
    const { bytes, sha256 } = await writeDown(body, file, Number(part.bytes));
    if (bytes !== Number(part.bytes)) throw refuse(`It has ${bytes} bytes, and the node's has ${part.bytes}.`);
    if (sha256 !== part.sha256) throw refuse('Its SHA-256 is not that of the file on the node.');
    const facts = await inspectMedia(file, part.format);
    const isMended = facts.wav !== undefined && (await mendWav(file, facts.wav));
    const kept = { bytes, sha256: isMended ? await hashOf(file) : sha256 };
    const key = `${part.recording_id}/${part.id}.${part.format}`;
    await deps.storage.keep(key, file, { ...kept, type: CONTENT_TYPES[part.format] });
    return await noteArrival(deps, { ...part, sha256: kept.sha256 }, key, facts);
  } catch (error) {
    const known = error instanceof SwitchyardError;
    const fault = known
      ? error.message
      : `it could not be kept: ${(error as NodeJS.ErrnoException).code ?? 'broken off'}`;
    await updatePart(deps.db, part.id, ['uploading'], { fault });
    throw known ? error : new SwitchyardError('unavailable', fault, { cause: error });
  } finally {
    await rm(file, { force: true });
  }
}

const refuse = (why: string): SwitchyardError => new SwitchyardError('unprocessable', why);

async function writeDown(body: Readable, file: string, limit: number): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  await pipeline(
    body,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > limit)
          throw new SwitchyardError('payload_too_large', `The file has ${limit} bytes, and more came.`);
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(file, { mode: 0o600, flags: 'wx' }),
  );
  return { bytes, sha256: hash.digest('hex') };
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** What can't be played is kept for whoever can rescue it, and is not called stored. */
async function noteArrival(
  deps: RecordingDeps,
  part: PartRow,
  key: string,
  facts: MediaFacts,
): Promise<'stored' | 'known'> {
  const { playable, durationMs } = facts;
  const stored = await changeRecording(deps, part.recording_id, async (held) => {
    const { trx, emit, recording } = held;
    const now = new Date(deps.now());
    const state = playable ? ('stored' as const) : ('failed' as const);
    const { bytes, sha256 } = part;
    const fault = playable ? null : explainDamage(part);
    const done = await updatePart(trx, part.id, ['uploading'], {
      ...{ state, storage_key: key, stored_at: now, sha256, playable, fault, next_try_at: now },
      media_ms: durationMs === null ? null : String(durationMs),
    });
    if (!done) return false;
    if (playable && durationMs !== null) await noteLength(held, part, durationMs, now);
    const facts = { bytes: Number(bytes), sha256, playable, ...(fault ? { fault } : {}) };
    emit(draftPartEvent(recording, part, state, facts));
    return true;
  });
  if (stored) return 'stored';
  const now = await findPart(deps.db, part.id);
  if (now?.storage_key === key) return 'known';
  await deps.storage.remove(key);
  throw new SwitchyardError('gone', 'The recording was deleted during the upload.');
}
