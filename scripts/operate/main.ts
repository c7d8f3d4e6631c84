/** `./scripts/pool`: the one command for the pool. Reads what was asked, does it over the public API, and says it plainly. */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { approveNode, enrolAsAdmin, type NodeToEnrol } from '../nodes/enrol';
import { projectRoot, StartFault } from '../project';
import { autoscale } from './autoscale';
import { addNodes, drainNode, removeNode, resumeNode, scaleTo, untilEmpty, type Operator } from './change';
import { openKept, type Kept } from './kept';
import { POOL_HELP, readPoolOptions, type PoolOptions } from './options';
import {
  findSwitchyard,
  readPool,
  requireNode,
  type PlacementAnswer,
  type SimulateAnswer,
  type Switchyard,
} from './pool-api';
import { poolTable, simulateTable } from './table';

const WATCH_MS = 2000;

const say = (line = ''): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort());
  try {
    const options = readPoolOptions(process.argv.slice(2), process.env);
    if (!options) {
      say(POOL_HELP);
      return 0;
    }
    options.stateDir = resolve(projectRoot(), options.stateDir);
    return await run(options, interrupted.signal);
  } catch (fault) {
    const plain = fault instanceof StartFault || (fault as Error).name === 'ApiFault';
    const away = (fault as Error).message === 'fetch failed' || (fault as Error).name === 'TimeoutError';
    const text = away ? 'Switchyard does not answer.' : (fault as Error).message;
    process.stderr.write(`${plain || away ? text : ((fault as Error).stack ?? String(fault))}\n`);
    return 1;
  }
}

async function run(options: PoolOptions, interrupted: AbortSignal): Promise<number> {
  const switchyard = findSwitchyard(options.stateDir, process.env);
  const kept = openKept(options.stateDir);
  const context = {
    kept,
    options,
    switchyardUrl: switchyard.url,
    nodesUrl: switchyard.nodesUrl,
    enrol: (asked: NodeToEnrol) => enrolAsAdmin(switchyard.api, asked),
    env: process.env,
  };
  const o: Operator = { switchyard, context, say, interrupted };
  const node = async () => requireNode(await readPool(switchyard), options.subject);
  switch (options.command) {
    case 'status':
      return showStatus(switchyard, kept, options, interrupted);
    case 'explain':
      return explainCall(switchyard, options);
    case 'simulate':
      return playOut(switchyard, options);
    case 'drain': {
      const { name } = await node();
      await drainNode(o, await node(), options.deadlineSeconds);
      if (!options.wait) return 0;
      const left = await untilEmpty(o, [name], options.timeoutSeconds);
      say(left.length ? `${name}: still in use` : `${name}: empty`);
      return left.length ? 3 : 0;
    }
    case 'resume':
      await resumeNode(o, await node());
      return 0;
    case 'approve': {
      const { name, state } = await node();
      if (state !== 'pending') throw new StartFault(`${name} is ${state}: it is not pending.`);
      await approveNode(switchyard.api, name);
      say(`${name}: approved`);
      return 0;
    }
    case 'remove':
      if (options.subject === undefined) requireNode(await readPool(switchyard), undefined);
      return locked(kept, async () => (await removeNode(o, options.subject!, options.force), 0));
    case 'add':
      return locked(kept, async () => (await addNodes(o, countOf(options, 1, 1)), 0));
    case 'scale':
      return locked(kept, async () => ((await scaleTo(o, countOf(options, undefined, 0))) ? 0 : 3));
    case 'autoscale':
      return locked(kept, async () => (await autoscale(o, options.once), 0));
  }
}

async function locked(kept: Kept, work: () => Promise<number>): Promise<number> {
  const release = kept.lock();
  try {
    return await work();
  } finally {
    release();
  }
}

function countOf(options: PoolOptions, fallback: number | undefined, least: number): number {
  const count = options.subject === undefined ? fallback : Number(options.subject);
  if (count === undefined || !Number.isInteger(count) || count < least || count > 1000)
    throw new StartFault(`How many nodes? A whole number from ${least} to 1000.`);
  return count;
}

async function showStatus(
  switchyard: Switchyard,
  kept: Kept,
  options: PoolOptions,
  stop: AbortSignal,
): Promise<number> {
  for (;;) {
    let text: string;
    try {
      const pool = await readPool(switchyard);
      text = options.json
        ? JSON.stringify({ ...pool, managed: kept.list().map(({ secret: _secret, ...node }) => node) })
        : poolTable(pool, kept.list(), Date.now(), process.stdout.columns);
    } catch (fault) {
      if (!options.watch) throw fault;
      text = (fault as Error).message;
    }
    const clear = options.watch && !options.json && process.stdout.isTTY ? '\x1b[H\x1b[2J' : '';
    say(`${clear}${text}`);
    if (!options.watch) return 0;
    await sleep(WATCH_MS, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) return 0;
    if (!clear && !options.json) say();
  }
}

async function explainCall(switchyard: Switchyard, options: PoolOptions): Promise<number> {
  const id = options.subject;
  if (!id || !/^[0-9a-f-]{36}$/i.test(id)) throw new StartFault('Which call? Its id, as POST /v1/calls answered it.');
  const placement = await switchyard.api.get<PlacementAnswer>(`/v1/calls/${id}/placement`);
  if (options.json) say(JSON.stringify(placement));
  else if (placement.decisions.length === 0)
    say('No node was selected for this call: a phone dialled it, or it is still waiting.');
  else
    for (const d of placement.decisions) {
      say(`Attempt ${d.attempt}, ${d.decidedAt}: ${d.node ?? 'no node'}`);
      for (const line of d.explanation) say(`  ${line}`);
    }
  return 0;
}

async function playOut(switchyard: Switchyard, options: PoolOptions): Promise<number> {
  const { remove, add, calls, rooms, capacity } = options;
  const asked = { remove, add, addedUnits: capacity, calls, rooms };
  const answer = await switchyard.api.post<SimulateAnswer>('/v1/pool/simulate', asked);
  say(options.json ? JSON.stringify(answer) : simulateTable(answer));
  return 0;
}

void main().then((code) => process.exit(code));
