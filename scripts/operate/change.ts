/** Changes the pool: adds nodes, and takes nodes away by drain, nothing left on them, removal, and only then the stop. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor, ApiFault } from '../api/client';
import { StartFault } from '../project';
import { orderByEmptiness } from '../../src/domains/nodes/pool/scaling-advice';
import type { KeptNode } from './kept';
import { findPorts, nextName } from './node-ports';
import { isEmpty, isQuiet, readPool, requireNode, type PoolAnswer, type PoolNode, type Switchyard } from './pool-api';
import { chooseKind } from './provide-process';
import { providerOf, type ProviderContext } from './providers';

const SERVING_TIMEOUT_MS = 60_000;
const LOOK_MS = 500;
/** Looks in a row at which nothing may be on a node: a call that was just being placed is seen by the second. */
const EMPTY_LOOKS = 2;

export interface Operator {
  switchyard: Switchyard;
  context: ProviderContext;
  say: (line: string) => void;
  /** Aborted by Ctrl-C. */
  interrupted: AbortSignal;
}

const isStaying = (node: PoolNode): boolean => (node.state === 'serving' && !node.silent) || node.state === 'joining';

/** Starts nodes one after the other, since each needs ports of its own, and waits for all of them together. */
export async function addNodes(o: Operator, count: number): Promise<string[]> {
  const { kept, options, env } = o.context;
  const names: string[] = [];
  const { nodes } = await readPool(o.switchyard);
  const known = new Set(nodes.map((node) => node.name));
  if (options.name && count > 1) throw new StartFault('--name is for one node.');
  for (let i = 0; i < count && !o.interrupted.aborted; i += 1) {
    const all = kept.list();
    const taken = new Set([...known, ...all.map((node) => node.name)]);
    const name = options.name ?? nextName(taken);
    if (taken.has(name)) throw new StartFault(`A node named "${name}" already exists.`);
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) throw new StartFault(`"${name}" can't be a node's name.`);
    if (!/^[A-Za-z0-9._-]{0,64}$/.test(options.zone)) throw new StartFault(`"${options.zone}" can't be a zone.`);
    const provider = providerOf(options);
    const kind = options.provider === 'process' ? chooseKind(o.context, nodes) : 'real';
    const where = {
      portBase: options.portBase,
      startedNodes: o.switchyard.startedNodes,
      host: env.NODE_HOST || '127.0.0.1',
    };
    const ports = provider.needsPorts ? await findPorts(all, where) : { portBase: null, rtpFrom: null };
    const { zone, capacity } = options;
    const planned: KeptNode = { name, provider: options.provider, kind, ...ports, zone, capacity };
    kept.save(await provider.start(planned, o.context));
    o.say(`${name}: ${kind}, started (${options.provider})`);
    names.push(name);
  }
  await Promise.all(names.map((name) => untilServing(o, name)));
  return names;
}

async function untilServing(o: Operator, name: string): Promise<void> {
  const { kept } = o.context;
  const node = kept.find(name)!;
  const provider = providerOf(node);
  try {
    const look = async (): Promise<PoolNode | undefined> => {
      if (o.interrupted.aborted) throw new StartFault(`${name} was started, and not waited for.`);
      if (!provider.isRunning(node)) throw new StartFault(`${name} ended by itself.`);
      return (await readPool(o.switchyard)).nodes.find((n) => n.name === name);
    };
    await waitFor(`${name} to serve`, look, (found) => found?.state === 'serving', SERVING_TIMEOUT_MS);
    o.say(`${name}: serves`);
  } catch (fault) {
    if (o.interrupted.aborted) throw fault;
    const lines = provider.lastLines(node);
    // What never served has nothing on it.
    await provider.stop(node, o.context).catch(() => undefined);
    await removeFromPool(o, name).catch(() => undefined);
    kept.forget(name);
    throw new StartFault(`${(fault as Error).message}\nThe last it wrote:\n${lines}`);
  }
}

async function removeFromPool(o: Operator, name: string): Promise<void> {
  const node = (await readPool(o.switchyard)).nodes.find((n) => n.name === name);
  if (node) await o.switchyard.api.delete(`/v1/nodes/${node.id}`);
}

export async function drainNode(o: Operator, node: PoolNode, deadlineSeconds: number, leaving = false): Promise<void> {
  const phones = o.context.options.keepPhones ? { phones: 'keep' } : {};
  await o.switchyard.api.post(`/v1/nodes/${node.id}/drain`, { deadlineSeconds, ...phones });
  const known = o.context.kept.find(node.name);
  if (known && leaving) o.context.kept.save({ ...known, leaving: true });
  const on = [counted(node.liveCalls, 'call'), counted(node.rooms, 'room'), counted(node.registrations, 'phone')].join(
    ', ',
  );
  o.say(`${node.name}: draining, with ${on}`);
}

export async function resumeNode(o: Operator, node: PoolNode): Promise<void> {
  await o.switchyard.api.post(`/v1/nodes/${node.id}/resume`);
  const known = o.context.kept.find(node.name);
  if (known?.leaving) o.context.kept.save({ ...known, leaving: false });
  o.say(`${node.name}: takes calls again`);
}

/**
 * Takes an empty node out of the pool, then stops it where we started it.
 * @param force also with phones that have not moved @throws StartFault while it is in use
 */
export async function removeNode(o: Operator, name: string, force: boolean): Promise<void> {
  const pool = await readPool(o.switchyard);
  const node = pool.nodes.find((n) => n.name === name || n.id === name);
  const known = o.context.kept.find(node?.name ?? name);
  if (!node && !known) requireNode(pool, name);
  if (node) {
    if (node.state === 'serving')
      throw new StartFault(`${node.name} serves. First: ./scripts/pool drain ${node.name} --wait`);
    if (!isQuiet(node)) throw new StartFault(`${node.name} still has ${describeUse(node)}.`);
    if (node.registrations > 0 && node.state !== 'down' && !force)
      throw new StartFault(`${node.name} is ${describeUse(node)}: wait until they have moved, or say --force.`);
    await deleteNode(o, node, force);
  }
  await stopKept(o, known);
}

async function deleteNode(o: Operator, node: PoolNode, force: boolean): Promise<void> {
  try {
    await o.switchyard.api.delete(`/v1/nodes/${node.id}${force ? '?force=true' : ''}`);
  } catch (fault) {
    if (!(fault instanceof ApiFault) || fault.status !== 404) throw fault;
  }
  o.say(`${node.name}: removed`);
}

async function stopKept(o: Operator, known: KeptNode | undefined): Promise<void> {
  if (!known) return;
  const { kept } = o.context;
  await providerOf(known).stop(known, o.context);
  kept.forget(known.name);
  o.say(`${known.name}: stopped`);
}

/** What is left to be said about nodes that drain. */
function describeRest(pool: PoolAnswer, names: readonly string[]): string {
  const rest = pool.nodes.filter((node) => names.includes(node.name) && !isEmpty(node, Date.now()));
  return rest.map((node) => `${node.name}: ${describeUse(node)}`).join('; ');
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
const describeUse = (node: PoolNode): string =>
  isQuiet(node) && node.registrations > 0
    ? `empty but for ${counted(node.registrations, 'phone')}`
    : [counted(node.liveCalls, 'call'), counted(node.rooms, 'room'), counted(node.sessions, 'channel')].join(', ');

/**
 * Waits until nothing is on the nodes. Nothing is ever cut off: where the time is over they stay draining.
 * @returns the names of those that are not empty by then
 */
export async function untilEmpty(
  o: Operator,
  names: readonly string[],
  timeoutSeconds: number | undefined,
  onEmpty: (node: PoolNode) => Promise<void> = () => Promise.resolve(),
): Promise<string[]> {
  const deadline = timeoutSeconds === undefined ? Infinity : Date.now() + timeoutSeconds * 1000;
  const looks = new Map<string, number>();
  let left = [...names];
  let said = '';
  for (;;) {
    const pool = await readPool(o.switchyard);
    for (const name of [...left]) {
      const node = pool.nodes.find((n) => n.name === name);
      const seen = !node || isEmpty(node, Date.now()) ? (looks.get(name) ?? 0) + 1 : 0;
      looks.set(name, seen);
      if (seen < EMPTY_LOOKS) continue;
      if (node && !(await settled(onEmpty(node)))) continue;
      left = left.filter((other) => other !== name);
    }
    if (left.length === 0) return [];
    const rest = describeRest(pool, left);
    if (rest && rest !== said) o.say(`waiting for ${(said = rest)}`);
    if (o.interrupted.aborted || Date.now() > deadline) return left;
    await sleep(LOOK_MS, undefined, { signal: o.interrupted }).catch(() => undefined);
  }
}

/** @returns false where Switchyard says that something is left on the node after all, as recordings on their way. */
async function settled(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (fault) {
    if (fault instanceof ApiFault && fault.status === 409) return false;
    throw fault;
  }
}

/** Brings the pool to so many nodes. @returns false where some are still in use when the time is over. */
export async function scaleTo(o: Operator, wanted: number): Promise<boolean> {
  const { kept, options } = o.context;
  const pool = await readPool(o.switchyard);
  const staying = pool.nodes.filter(isStaying);
  const leaving = kept
    .list()
    .filter((node) => node.leaving)
    .map((node) => node.name);
  o.say(`${counted(staying.length, 'node')} in use, ${wanted} wanted`);
  if (wanted > staying.length) {
    const back = pool.nodes
      .filter((node) => leaving.includes(node.name) && node.state === 'draining')
      .slice(0, wanted - staying.length);
    for (const node of back) await resumeNode(o, node);
    await addNodes(o, wanted - staying.length - back.length);
  }
  const surplus = staying.length - wanted;
  if (surplus > 0) {
    const ours = orderByEmptiness(staying.filter((node) => kept.find(node.name)));
    if (ours.length < surplus)
      throw new StartFault(
        `${surplus} nodes are too many, and only ${ours.length} of them were started by this command. Drain and remove the others, and stop them where they were started.`,
      );
    for (const node of ours.slice(0, surplus)) await drainNode(o, node, options.deadlineSeconds, true);
  }
  const going = kept
    .list()
    .filter((node) => node.leaving)
    .map((node) => node.name);
  const left = await untilEmpty(o, going, options.timeoutSeconds, (node) => removeNode(o, node.name, true));
  for (const name of going.filter((n) => !left.includes(n))) await stopKept(o, kept.find(name));
  if (left.length === 0) return true;
  o.say(`${left.join(', ')} still in use: draining, not stopped. Run the same command again to continue.`);
  return false;
}
