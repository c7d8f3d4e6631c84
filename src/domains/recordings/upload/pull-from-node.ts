/** Brings finished files here: the node hashes its file, sends it by itself, and forgets it only when it has arrived. */
import { randomUUID } from 'node:crypto';
import { SwitchyardError } from '../../../errors';
import {
  askCurl,
  hashFile,
  parseHash,
  postFile,
  putFile,
  readGlobal,
  readSent,
  removeFile,
  type ApiCommand,
  type Reply,
} from '../../../freeswitch/esl';
import { signToken } from '../../../infra/secrets';
import { askNode } from '../control/reconcile';
import { changeRecording, draftPartEvent, type RecordingDeps } from '../control/transition';
import { isWritten, tellStop, weigh } from '../control/node-files';
import { findPart, isDamaged, takeDueParts, updatePart, type PartRow, type PartState } from '../parts.store';
import { backoffMs } from '../../../infra/flow/backoff';

const TRIES = 8;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** At least this fast, or the upload is given up and tried again. */
const SLOWEST_BYTES_A_SECOND = 500_000;
const LEAST_UPLOAD_SECONDS = 60;
/** Beyond the time an upload may take. */
const MARGIN_MS = 30_000;
/** A part is another replica's to try after this, where the one that brings it does not say again that it does. */
const CLAIM_MS = 60_000;
const RENEW_MS = 15_000;
const AT_ONCE = 4;
/** A node that is unavailable costs no try: it is looked for again. */
const AWAY_MS = 5000;

export const pauseBeforeUpload = (tries: number): number =>
  backoffMs(tries, { firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS });

export const uploadSeconds = (bytes: number): number =>
  Math.min(900, LEAST_UPLOAD_SECONDS + Math.ceil(bytes / SLOWEST_BYTES_A_SECOND));

export interface Collector {
  /** Starts bringing what is due, a few at once; does not wait for them. */
  run(): Promise<void>;
  /** Forgets what is under way; the node may end its upload by itself, and it counts. */
  stop(): Promise<void>;
}

export function createCollector(deps: RecordingDeps): Collector {
  const running = new Set<Promise<void>>();
  const stopping = new AbortController();
  const stopped = new Promise<never>((_, reject) => {
    stopping.signal.addEventListener('abort', () => reject(new Error('Switchyard stops')), { once: true });
  });
  stopped.catch(() => undefined);

  function start(part: PartRow, work: (part: PartRow) => Promise<void>): void {
    const renewing = setInterval(() => {
      const claim = { next_try_at: new Date(deps.now() + CLAIM_MS) };
      updatePart(deps.db, part.id, ['uploading'], claim).catch(() => undefined);
    }, RENEW_MS);
    const job = work(part)
      .catch((error: unknown) => {
        if (!stopping.signal.aborted)
          deps.logger.warn({ err: error, part: part.id }, 'a file stays on its node for now');
      })
      .finally(() => {
        clearInterval(renewing);
        running.delete(job);
      });
    running.add(job);
  }
  /** A node's background job has no end of its own here: it ends, or its time is over, or we stop. */
  const inBackground = (nodeId: string, command: ApiCommand, timeoutMs: number): Promise<Reply> =>
    Promise.race([deps.links.connection(nodeId).bgapi(command, { jobId: randomUUID(), timeoutMs }), stopped]);

  return {
    async run() {
      const room = AT_ONCE - running.size;
      if (room < 1 || stopping.signal.aborted) return;
      const now = deps.now();
      const due = { now: new Date(now), until: new Date(now + CLAIM_MS), limit: room };
      for (const part of await takeDueParts(deps.db, ['uploading'], due)) {
        start(part, (p) => bringPart(deps, p, inBackground));
      }
      const done = { ...due, until: new Date(now + AWAY_MS * 6), limit: 20 };
      for (const part of await takeDueParts(deps.db, CLEARED, done)) start(part, (p) => clearNode(deps, p));
    },
    async stop() {
      stopping.abort();
      await Promise.all(running);
    },
  };
}

type InBackground = (nodeId: string, command: ApiCommand, timeoutMs: number) => Promise<Reply>;

async function bringPart(deps: RecordingDeps, part: PartRow, inBackground: InBackground): Promise<void> {
  const nodeId = part.node_id;
  if (!nodeId || !deps.links.isUp(nodeId)) {
    await updatePart(deps.db, part.id, ['uploading'], { next_try_at: new Date(deps.now() + AWAY_MS) });
    return;
  }
  const fault = await sendPart(deps, part, nodeId, inBackground).catch((error: unknown) => {
    if (error instanceof Error && error.message === 'Switchyard stops') throw error;
    return error instanceof SwitchyardError ? error.message : 'the upload broke off';
  });
  if (fault === undefined) return clearNode(deps, part);
  await noteFailure(deps, part, fault);
}

/** @returns why it has not arrived; undefined where it has */
async function sendPart(
  deps: RecordingDeps,
  part: PartRow,
  nodeId: string,
  inBackground: InBackground,
): Promise<string | undefined> {
  const ask = askNode(deps, nodeId);
  if (await isWritten(ask, part)) {
    await tellStop(ask, part);
    return 'the node still writes it';
  }
  const bytes = (await weigh(ask, [part.path])).get(part.path);
  if (bytes === undefined) return 'the node has no such file';
  if (bytes > deps.maxUploadBytes) return `the file is over the limit of ${deps.maxUploadBytes} bytes`;
  const seconds = uploadSeconds(bytes);
  const sha256 = parseHash((await inBackground(nodeId, hashFile(part.path), seconds * 1000)).text);
  if (!sha256) return 'the node could not hash the file';
  const until = new Date(deps.now() + seconds * 1000 + MARGIN_MS);
  await updatePart(deps.db, part.id, ['uploading'], { bytes: String(bytes), sha256, next_try_at: until, fault: null });
  const url = await uploadUrl(deps, part, { bytes, sha256, expSeconds: Math.ceil(until.getTime() / 1000) });
  const hasCurl = (await ask(askCurl())).text.startsWith('curl ');
  const command = hasCurl ? putFile(part.path, url, seconds) : postFile(part.path, url);
  const status = readSent((await inBackground(nodeId, command, seconds * 1000 + 5000)).text);
  const now = await findPart(deps.db, part.id);
  if (now?.storage_key) return undefined; // whole, or damaged: there is no more to be had
  if (now?.state !== 'uploading') return now ? `the part is ${now.state} now` : 'the recording is gone';
  return now.fault ?? (status === 0 ? 'the node could not connect to Switchyard' : `the upload was answered ${status}`);
}

/**
 * The token opens one door for a while: that of this part, for a file of exactly these bytes. A node writes commands
 * that fail into its log, address and all; whoever reads it there can send what we have anyway, and nothing else.
 */
async function uploadUrl(
  deps: RecordingDeps,
  part: PartRow,
  o: { bytes: number; sha256: string; expSeconds: number },
): Promise<string> {
  const claims = { part: part.id, bytes: o.bytes, sha256: o.sha256, exp: o.expSeconds };
  const base = deps.uploadUrl ?? (await askNode(deps, part.node_id!)(readGlobal('switchyard_xml_url'))).text.trim();
  if (!URL.canParse(base))
    throw new SwitchyardError('node_error', "The node hasn't reported at which URL it reaches Switchyard.");
  return `${new URL(base).origin}/freeswitch/recordings/${part.id}?token=${signToken(deps.secretKey, 'recording', claims)}`;
}

async function noteFailure(deps: RecordingDeps, part: PartRow, fault: string): Promise<void> {
  deps.countUploadFailure?.();
  const tries = part.tries + 1;
  const isLast = tries >= TRIES;
  const next = isLast ? null : new Date(deps.now() + pauseBeforeUpload(tries));
  deps.logger.warn({ part: part.id, node: part.node_name, tries, fault }, 'a recording did not arrive');
  await changeRecording(deps, part.recording_id, async ({ trx, emit, recording }) => {
    const change = { state: isLast ? ('failed' as const) : ('uploading' as const), tries, fault, next_try_at: next };
    if (!(await updatePart(trx, part.id, ['uploading'], change))) return;
    emit(draftPartEvent(recording, part, change.state, { fault, tries, nextTryAt: next?.toISOString() ?? null }));
  });
}

/** A failed part is due only where its damaged file is here. */
const CLEARED: readonly PartState[] = ['stored', 'failed', 'deleted'];

/** The node's copy goes when ours is safe, or when nobody wants it any more. */
async function clearNode(deps: RecordingDeps, part: PartRow): Promise<void> {
  if (part.state === 'failed' && !isDamaged(part)) return; // the node has the only copy
  const later = { next_try_at: new Date(deps.now() + AWAY_MS * 6) };
  if (!part.node_id) return void (await updatePart(deps.db, part.id, CLEARED, { next_try_at: null }));
  if (!deps.links.isUp(part.node_id)) return void (await updatePart(deps.db, part.id, CLEARED, later));
  const ask = askNode(deps, part.node_id);
  await ask(removeFile(part.path));
  const isThere = (await weigh(ask, [part.path])).has(part.path);
  const change = isThere ? later : { node_copy: false, next_try_at: null };
  await updatePart(deps.db, part.id, CLEARED, change);
}
