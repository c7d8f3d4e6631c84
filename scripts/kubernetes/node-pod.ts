/** What stands beside a media node in its pod: waits for Switchyard and enrols the node before it starts, and drains it before it ends. */
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiFault, createApiClient } from '../api-client';
import { enrolPatiently, makeNodeSecret } from '../enrol';
import { isEmpty, readPool, type PoolNode, type Switchyard } from '../operate/pool-api';
import { StartFault } from '../project';

interface Patience {
  say: (line: string) => void;
  stopped: AbortSignal;
  lookMs: number;
}

export interface NodePod extends Patience {
  yard: Switchyard;
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

async function findNode(pod: NodePod): Promise<PoolNode | undefined> {
  return (await readPool(pod.yard)).nodes.find((node) => node.name === pod.name);
}

function reasonOf(fault: unknown): string {
  const { name, message } = fault as Error;
  return message === 'fetch failed' || name === 'TimeoutError' ? 'Switchyard does not answer.' : message;
}

/**
 * Tries again until a step is done, whatever is away meanwhile, and says each new reason once.
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
 * is only started again leaves the node as it is, since somebody may have drained it on purpose.
 */
export async function settleIn(pod: NodePod): Promise<void> {
  if (existsSync(settledMark(pod.dir))) return;
  await repeat(pod, async () => {
    const node = await findNode(pod);
    if (node?.state === 'draining') {
      await pod.yard.api.post(`/v1/nodes/${node.id}/resume`);
      pod.say(`${pod.name}: was left draining, and takes calls again`);
    } else if (node?.state !== 'serving') return `waiting for ${pod.name} to serve`;
    writeFileSync(settledMark(pod.dir), '');
    return 'done';
  });
}

/** No new calls; those that run go on. When nothing is on the node it is taken out of the pool, and may be stopped. */
export async function leavePool(pod: NodePod): Promise<void> {
  let looks = 0;
  const isOut = await repeat(pod, async () => {
    const node = await findNode(pod);
    if (!node) return 'done'; // it never joined, or somebody has removed it
    if (node.state === 'serving' || node.state === 'joining') {
      await pod.yard.api.post(`/v1/nodes/${node.id}/drain`, { deadlineSeconds: pod.deadlineSeconds });
      return `${pod.name}: draining`;
    }
    looks = isEmpty(node) ? looks + 1 : 0;
    if (looks === 0) return `waiting for ${node.liveCalls} calls, ${node.rooms} rooms, ${node.sessions} channels`;
    if (looks < EMPTY_LOOKS) return 'looking once more';
    return takeOut(pod, node);
  });
  if (!isOut) return;
  pod.say(`${pod.name}: nothing is on it`);
  writeFileSync(emptyMark(pod.dir), '');
}

async function takeOut(pod: NodePod, node: PoolNode): Promise<string | 'done'> {
  try {
    await pod.yard.api.delete(`/v1/nodes/${node.id}`);
    return 'done';
  } catch (fault) {
    if (fault instanceof ApiFault && fault.status === 404) return 'done';
    throw fault;
  }
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
  secretFile: need(env, 'SECRET_FILE'),
});

type Env = Record<string, string | undefined>;

function need(env: Env, name: string): string {
  const value = env[name];
  if (!value) throw new StartFault(`${name} is not set.`);
  return value;
}

const urlOf = (env: Env): string => need(env, 'SWITCHYARD_URL').replace(/\/+$/, '');

/** @throws StartFault naming what the pod does not say */
export function readPod(env: Env, o: Patience): NodePod {
  const deadlineSeconds = Number(need(env, 'DRAIN_DEADLINE_SECONDS'));
  if (!Number.isInteger(deadlineSeconds) || deadlineSeconds < 0 || deadlineSeconds > 86_400)
    throw new StartFault('DRAIN_DEADLINE_SECONDS must be a whole number from 0 to 86400.');
  const url = urlOf(env);
  const yard = { url, api: createApiClient(url, need(env, 'SWITCHYARD_API_KEY')), startedNodes: 0 };
  return { ...o, yard, name: need(env, 'POD_NAME'), dir: need(env, 'DRAIN_DIR'), deadlineSeconds };
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
