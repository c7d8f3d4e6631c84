/** What stands beside a media node in its pod: waits for Switchyard and enrols the node before it starts, and drains it before it ends. */
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { enrolPatiently, makeNodeSecret } from '../nodes/enrol';
import { StartFault } from '../project';
import { createNodeDoor, DoorFault, type NodeDoor } from './node-door';

interface Patience {
  say: (line: string) => void;
  stopped: AbortSignal;
  lookMs: number;
}

export interface NodePod extends Patience {
  /** Opened with the node's own secret: for itself it can ask, and for nothing else. */
  door: NodeDoor;
  /** The node's name, which is its pod's. */
  name: string;
  /** What the containers of this pod share, and another pod of the same name does not. */
  dir: string;
  deadlineSeconds: number;
}

const READY_TIMEOUT_MS = 3000;
const LOOK_MS = 2000;
/** As scripts/pool: a call that was just being placed is seen by the second look. */
const EMPTY_LOOKS = 2;

/** FreeSWITCH's container stops when this is there. */
export const emptyMark = (dir: string): string => join(dir, 'empty');
const settledMark = (dir: string): string => join(dir, 'settled');

function reasonOf(fault: unknown): string {
  const { name, message } = fault as Error;
  return message === 'fetch failed' || name === 'TimeoutError' ? 'Switchyard does not answer.' : message;
}

/**
 * Tries again until a step is done, whatever is away in the meantime, and says each new reason once.
 * @returns false where it was stopped before
 */
async function repeat(o: Patience, step: () => Promise<string | 'done'>): Promise<boolean> {
  let said = '';
  while (!o.stopped.aborted) {
    const rest = await step().catch(reasonOf);
    if (rest === 'done') return true;
    if (rest !== said) o.say((said = rest));
    await sleep(o.lookMs, undefined, { signal: o.stopped }).catch(() => undefined);
  }
  return false;
}

/** Until Switchyard and its stores answer. */
export function waitForSwitchyard(url: string, o: Patience): Promise<boolean> {
  return repeat(o, async () => {
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(READY_TIMEOUT_MS) });
    await answer.body?.cancel();
    return answer.ok ? 'done' : `Switchyard is not ready: ${answer.status}`;
  });
}

/**
 * A pod before this one may have been ended while its node still drained: a new pod takes calls again. A container that
 * is only started again leaves the node as it is. What an operator drained on purpose stays drained.
 */
export async function settleIn(pod: NodePod): Promise<void> {
  if (existsSync(settledMark(pod.dir))) return;
  await repeat(pod, async () => {
    const node = await pod.door.read();
    if (node.state === 'draining' && node.drainedItself) {
      await pod.door.resume();
      pod.say(`${pod.name}: was draining, takes calls again`);
    } else if (node.state === 'draining') pod.say(`${pod.name}: an operator drained it: it stays drained`);
    else if (node.state !== 'serving') return `waiting for ${pod.name} to serve`;
    writeFileSync(settledMark(pod.dir), '');
    return 'done';
  });
}

/** No new calls; those that run go on. When nothing is on the node it may be stopped. */
export async function leavePool(pod: NodePod): Promise<void> {
  const looks = { empty: 0, unknown: 0 };
  const isOut = await repeat(pod, async () => {
    const node = await pod.door.read().catch((fault: unknown) => {
      const isUnknown = fault instanceof DoorFault && fault.status === 401;
      if (isUnknown || (fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw fault;
    });
    // It has no secret yet, it never joined, or somebody has removed it: Switchyard puts nothing on it.
    looks.unknown = node ? 0 : looks.unknown + 1;
    if (!node) return looks.unknown < EMPTY_LOOKS ? 'Switchyard knows no such node' : 'done';
    if (node.state === 'serving' || node.state === 'joining') {
      await pod.door.drain(pod.deadlineSeconds);
      return `${pod.name}: draining`;
    }
    looks.empty = node.isEmpty ? looks.empty + 1 : 0;
    if (looks.empty === 0)
      return `waiting for ${node.liveCalls} calls, ${node.rooms} rooms, ${node.sessions} channels, ${node.filesToSend} files, ${node.phones} phones`;
    return looks.empty < EMPTY_LOOKS ? 'looking once more' : 'done';
  });
  if (!isOut) return;
  pod.say(`${pod.name}: empty`);
  writeFileSync(emptyMark(pod.dir), '');
}

export interface PodEnrolment extends Patience {
  /** Switchyard's XML address; where the node runs it says with its own. */
  xmlUrl: string;
  name: string;
  token: string | undefined;
  /** What the node shows; made where it is missing, and kept from pod to pod. */
  secretFile: string;
}

/** Before FreeSWITCH starts. @returns false where it was stopped before the node was in */
export async function enrolPod(o: PodEnrolment): Promise<boolean> {
  if (!existsSync(o.secretFile)) {
    // Written whole or not at all, and nobody else's to read.
    writeFileSync(`${o.secretFile}.new`, makeNodeSecret(), { mode: 0o600 });
    renameSync(`${o.secretFile}.new`, o.secretFile);
  }
  const secret = readFileSync(o.secretFile, 'utf8').trim();
  return enrolPatiently({ xmlUrl: o.xmlUrl, name: o.name, secret }, o.token, o);
}

/** @throws StartFault naming what the pod does not say */
export const readEnrolment = (env: Env, o: Patience): PodEnrolment => ({
  ...o,
  xmlUrl: `${urlOf(env)}/freeswitch/xml`,
  name: need(env, 'POD_NAME'),
  token: env.NODE_JOIN_TOKEN || undefined,
  secretFile: need(env, 'NODE_SECRET_FILE'),
});

type Env = Record<string, string | undefined>;

function need(env: Env, name: string): string {
  const value = env[name];
  if (!value) throw new StartFault(`${name} is not set.`);
  return value;
}

const urlOf = (env: Env): string => need(env, 'SWITCHYARD_NODES_URL').replace(/\/+$/, '');

/** @throws StartFault naming what the pod does not say */
export function readPod(env: Env, o: Patience): NodePod {
  const deadlineSeconds = Number(need(env, 'DRAIN_DEADLINE_SECONDS'));
  if (!Number.isInteger(deadlineSeconds) || deadlineSeconds < 0 || deadlineSeconds > 86_400)
    throw new StartFault('DRAIN_DEADLINE_SECONDS must be a whole number from 0 to 86400.');
  const name = need(env, 'POD_NAME');
  const door = createNodeDoor(urlOf(env), name, need(env, 'NODE_SECRET_FILE'));
  return { ...o, door, name, dir: need(env, 'DRAIN_DIR'), deadlineSeconds };
}

/** What a preStop hook prints is kept by nobody: it is written where the container's own words go. */
function speaker(file: string | undefined): (line: string) => void {
  return (line) => {
    try {
      if (file) return appendFileSync(file, `${line}\n`);
    } catch {
      // To drain is more than to tell of it.
    }
    process.stdout.write(`${line}\n`);
  };
}

async function main(): Promise<void> {
  const stopping = new AbortController();
  process.once('SIGTERM', () => stopping.abort());
  const command = process.argv[2];
  const say = speaker(command === 'leave' ? process.env.SAY_TO : undefined);
  const patience = { say, stopped: stopping.signal, lookMs: LOOK_MS };
  if (command === 'wait') await waitForSwitchyard(urlOf(process.env), patience);
  else if (command === 'leave') await leavePool(readPod(process.env, patience));
  else if (command === 'stay') await stay(readPod(process.env, patience));
  else if (command === 'enrol') await enrolPod(readEnrolment(process.env, patience));
  else throw new StartFault('Usage: node-pod wait | enrol | stay | leave');
  // Switchyard was not there, or nobody has let the node in: FreeSWITCH must not start.
  if ((command === 'wait' || command === 'enrol') && stopping.signal.aborted) process.exitCode = 1;
}

/** As long as the pod: its end is told to this container, and `leave` runs in it. */
async function stay(pod: NodePod): Promise<void> {
  await settleIn(pod);
  const held = setInterval(() => undefined, LOOK_MS); // a signal's listener alone keeps no process
  await new Promise<void>((resolve) => {
    if (pod.stopped.aborted) resolve();
    else pod.stopped.addEventListener('abort', () => resolve(), { once: true });
  });
  clearInterval(held);
}

if (require.main === module) {
  main().catch((fault: unknown) => {
    process.stderr.write(`${(fault as Error).message}\n`);
    process.exit(1);
  });
}
