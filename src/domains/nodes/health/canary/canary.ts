/** The synthetic call: two legs of a node meet in a room; the tone of one must be in what the other hears and in a recording. */
import { posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SwitchyardError } from '../../../../errors';
import {
  EslError,
  hangUpMatching,
  listRoom,
  loopbackEndpoint,
  originateCall,
  parsePrinted,
  parseRooms,
  printFile,
  readGlobal,
  recordRoom,
  removeFile,
  startLegRecording,
  stopLegRecording,
  type ApiCommand,
  type NodeConnection,
  type Reply,
} from '../../../../freeswitch/esl';
import { CANARY_VARIABLE } from '../../../../freeswitch/xml';
import { createId } from '../../../../infra/ids';
import { storeClock } from '../../../../infra/store-clock';
import type { CanaryResult } from '../health';
import { CANARY } from '../../limits';
import { findTone, type HeardTone } from './tone-detector';
import { readPcm } from '../../../../infra/wav';
import { CANARY_CONTEXT } from '../../../../freeswitch/contexts';

const POLL_MS = 60;
const CLEANUP_MS = 4000;
/** So much of the tone must be there: a click is none, and two thirds of a second may go by until both are in. */
const LEAST_TONE_MS = 400;
/** What a leg hears stands on the right of its recording. */
const HEARD_CHANNEL = 1;

/** A step that went wrong, in words for the operator. */
class CanaryFault extends Error {}

export interface CanaryCall {
  connection: NodeConnection;
  /** What FreeSWITCH calls the room; it proves itself to the endpoint. */
  name: string;
  toneHz: number;
  signal: AbortSignal;
}

interface Seen {
  heard?: HeardTone;
  recorded?: HeardTone;
  setupMs: number | null;
  /** From both being in until the listening began. */
  lateMs: number;
}

/**
 * Makes the call and takes everything away again: channels, and both files. The verdict is a result, also a bad one.
 * @throws SwitchyardError node_unreachable where the connection is lost: then nothing was shown either way
 */
export async function makeCanaryCall(call: CanaryCall): Promise<CanaryResult> {
  const began = performance.now();
  const at = storeClock.now().toISOString();
  const since = (): number => Math.round(performance.now() - began);
  const ask = createAsk(call, () => CANARY.deadlineMs - since());
  const seen: Seen = { setupMs: null, lateMs: 0 };
  let files: string[] = [];
  let failure: string | null = null;
  try {
    files = await chooseFiles(ask);
    await perform(call, ask, files, seen, since);
    failure = judge(seen);
  } catch (error) {
    failure = explainFault(error);
  } finally {
    await cleanUp(call, files);
  }
  const heard = isThere(seen.heard);
  return {
    at,
    ok: failure === null,
    heard,
    recorded: isThere(seen.recorded),
    setupMs: seen.setupMs,
    mixedMs: heard && seen.heard ? seen.lateMs + (seen.heard.onsetMs ?? 0) : null,
    levelDb: seen.heard?.levelDb ?? null,
    tookMs: since(),
    failure,
  };
}

type Ask = (command: ApiCommand) => Promise<Reply>;

/** In the node's background: a command that hangs there must not take the connection with it. */
function createAsk(call: Pick<CanaryCall, 'connection' | 'signal'>, leftMs: () => number): Ask {
  return async (command) => {
    call.signal.throwIfAborted();
    const timeoutMs = Math.round(leftMs());
    if (timeoutMs < 1) throw new CanaryFault(`not done within ${CANARY.deadlineMs / 1000} s`);
    return call.connection.bgapi(command, { jobId: createId(), timeoutMs });
  };
}

/** One of each on a node, under the same names each time: what a replica that died left behind is written over. */
async function chooseFiles(ask: Ask): Promise<string[]> {
  const folder = (await ask(readGlobal('recordings_dir'))).text.trim();
  if (!/^\/[A-Za-z0-9/_. -]{1,400}$/.test(folder)) throw new CanaryFault('the node has no recordings_dir');
  const files = ['canary-room.wav', 'canary-heard.wav'].map((name) => posix.join(folder, name));
  for (const file of files) await ask(removeFile(file));
  return files;
}

async function perform(call: CanaryCall, ask: Ask, files: readonly string[], seen: Seen, since: () => number) {
  const [roomFile, heardFile] = files as [string, string];
  const [speaker, listener] = [createId(), createId()];
  await Promise.all([originate(call, ask, speaker, 'speak'), originate(call, ask, listener, 'listen')]);
  await poll(
    'the two legs did not meet in a room',
    async () => {
      const reply = await ask(listRoom(call.name));
      const room = reply.ok ? parseRooms(reply.text).find((r) => r.name === call.name) : undefined;
      return room?.members.filter((m) => m.legId === speaker || m.legId === listener).length === 2;
    },
    since,
  );
  seen.setupMs = since();
  await mustTake('the recording of the room was refused', ask, recordRoom(call.name, 'start', roomFile));
  await mustTake('the recording of a leg was refused', ask, startLegRecording(listener, heardFile));
  seen.lateMs = since() - seen.setupMs;
  await sleep(CANARY.listenMs, undefined, { signal: call.signal });
  await ask(stopLegRecording(listener, heardFile));
  await ask(recordRoom(call.name, 'stop', roomFile));
  seen.heard = await listen(ask, heardFile, call.toneHz, HEARD_CHANNEL);
  seen.recorded = await listen(ask, roomFile, call.toneHz, 0);
}

async function originate(call: CanaryCall, ask: Ask, legId: string, step: 'speak' | 'listen'): Promise<void> {
  const command = originateCall({
    legId,
    endpoint: loopbackEndpoint(`${step}.${call.name}`, CANARY_CONTEXT),
    variables: { [CANARY_VARIABLE]: call.name, process_cdr: 'false', loopback_bowout: 'false' },
    ringTimeoutSeconds: Math.ceil(CANARY.deadlineMs / 1000),
    destination: { extension: `enter.${call.name}`, dialplan: 'XML', context: CANARY_CONTEXT },
  });
  await mustTake(`the leg that should ${step} was not made`, ask, command);
}

async function mustTake(what: string, ask: Ask, command: ApiCommand): Promise<void> {
  const reply = await ask(command);
  if (!reply.ok) throw new CanaryFault(`${what} (${reply.text.trim().slice(0, 100)})`);
}

async function poll(what: string, check: () => Promise<boolean>, since: () => number): Promise<void> {
  while (!(await check())) {
    if (since() > CANARY.deadlineMs - POLL_MS) throw new CanaryFault(`${what} within ${CANARY.deadlineMs / 1000} s`);
    await sleep(POLL_MS);
  }
}

/** A file is closed a moment after its recording was stopped. */
const FILE_TRIES = 10;

async function listen(ask: Ask, file: string, toneHz: number, channel: number): Promise<HeardTone | undefined> {
  let found: HeardTone | undefined;
  for (let i = 0; i < FILE_TRIES; i += 1) {
    const reply = await ask(printFile(file));
    const bytes = reply.ok ? parsePrinted(reply.text) : undefined;
    const sound = bytes && (await readPcm(bytes, channel));
    if (sound) found = findTone(sound, toneHz);
    if (isThere(found) || (found && found.lengthMs >= CANARY.listenMs / 2 && i > 2)) break;
    await sleep(POLL_MS);
  }
  return found;
}

const isThere = (tone: HeardTone | undefined): boolean => (tone?.toneMs ?? 0) >= LEAST_TONE_MS;

function judge(seen: Seen): string | null {
  const say = (what: string, tone: HeardTone | undefined, missing: string): string[] => {
    if (isThere(tone)) return [];
    if (!tone) return [`${what} was not written`];
    return [`${what} has ${tone.levelDb === null ? 'silence' : 'something else'} ${missing}`];
  };
  const faults = [
    ...say('what one leg heard', seen.heard, "where the other's tone should be"),
    ...say('the recording of the room', seen.recorded, 'where the tone should be'),
  ];
  return faults.length > 0 ? faults.join('; ') : null;
}

function explainFault(error: unknown): string {
  if (error instanceof CanaryFault) return error.message;
  if (error instanceof EslError && error.kind === 'timeout') return `a command was not answered: ${error.message}`;
  if (error instanceof EslError && error.kind === 'bad_reply') return error.message;
  throw error instanceof SwitchyardError
    ? error
    : new SwitchyardError('node_unreachable', 'The canary call was aborted.', { cause: error });
}

/** Also after a failure; what can't be told now ends by itself, and the files are written over. */
async function cleanUp({ connection, name }: CanaryCall, files: readonly string[]): Promise<void> {
  const tell = (command: ApiCommand): Promise<unknown> =>
    connection.bgapi(command, { jobId: createId(), timeoutMs: CLEANUP_MS }).catch(() => undefined);
  await tell(hangUpMatching(CANARY_VARIABLE, name, 'NORMAL_CLEARING'));
  await Promise.all(files.map((file) => tell(removeFile(file))));
}
