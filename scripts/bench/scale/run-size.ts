/** One run at one size: stores, stand-in nodes and a real Switchyard, from an empty machine to figures. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createChannelMemories } from '../../../src/domains/calls/adoption/channel-memory';
import { reconcileChannels } from '../../../src/domains/calls/reconcile/reconcile-node';
import { createCallSweep } from '../../../src/domains/calls/reconcile/sweep';
import { createEventLog } from '../../../src/domains/events/events';
import { createClaims } from '../../../src/domains/nodes/capacity/claims';
import { findNode } from '../../../src/domains/nodes/nodes.store';
import { openConnection } from '../../../src/freeswitch/esl';
import { createDb, type Db } from '../../../src/infra/stores/db';
import { createLogger } from '../../../src/infra/logger';
import { migrateDb } from '../../../src/infra/stores/migrate';
import type { Stores } from '../../stores/stores';
import { quantile, round, startRole, type Role } from '../roles';
import { countStatements, measureBareTransactions, measurePlacing, time, type Placing } from './measure';
import type { NodesOrder } from './nodes';
import type { Usage } from './process';
import * as seed from './seed';

const BURST_MARK = 44;
const DROP_MARK = 43;
const DATABASE_POOL = 20;
const API_KEY = 'sk_bench_admin_key_of_switchyard';
const STEP_MS = 300_000;

export interface Size {
  nodes: number;
  /** Calls in the burst, eleven events each. */
  burstCalls: number;
  /** Real calls over REST, and how many a second. */
  realCalls: number;
  realPerSecond: number;
}

export interface Figures {
  nodes: number;
  calls: number;
  bytesPerClaim: number;
  bytesPerLiveCall: number;
  bytesPerEvent: number;
  /** From the start of the process until every node serves, each compared with its standing calls. */
  takeUpMs: number;
  idle: Usage & { redisCommands: number; transactions: number };
  placing: Placing;
  sweep: { roundMs: number; longestStepMs: number; steps: number; statements: number; redisCommands: number };
  bare: number;
  events: { perSecond: number; ratioToBare: number; usage: Usage };
  /** The same, all calls of one domain: they share the head of one stream. */
  eventsOneDomain: number;
  real: { placedP50Ms: number; placedP99Ms: number; answered: number; lost: number; usage: Usage };
  compare: { ms: number; statements: number; reconnectMs: number };
}

async function until(what: string, ask: () => Promise<boolean>, timeoutMs = STEP_MS): Promise<number> {
  const started = performance.now();
  while (!(await ask())) {
    if (performance.now() - started > timeoutMs) throw new Error(`it did not come about in ${timeoutMs} ms: ${what}`);
    await sleep(50);
  }
  return performance.now() - started;
}

export async function runSize(file: string, stores: Stores, size: Size, say: (line: string) => void): Promise<Figures> {
  const secretKey = randomBytes(32);
  const db = createDb(stores.databaseUrl, DATABASE_POOL);
  const redis = new Redis(stores.redisUrl, { enableAutoPipelining: false });
  const roles: Role[] = [];
  const start = (role: string, env: Record<string, string> = {}): Role => {
    const made = startRole(file, role, { DATABASE_URL: stores.databaseUrl, REDIS_URL: stores.redisUrl, ...env });
    roles.push(made);
    return made;
  };
  try {
    const nodes = start('nodes');
    const tell = <T>(order: NodesOrder): Promise<T> => nodes.ask<T>(order, STEP_MS);
    const { port } = await tell<{ port: number }>({ kind: 'listen' });
    await migrateDb(db);
    const seeded = await seed.seedNodes(db, { nodes: size.nodes, port, secretKey });
    const calls = size.nodes * seed.CALLS_PER_NODE;
    await seed.seedCalls(db, seeded, { count: calls, state: 'answered', domains: seed.DOMAINS });
    const bytesPerClaim = round(await seed.seedClaims(db, redis));
    await db.raw('analyze');
    const bytesPerLiveCall = round((await sizeOf(db, ['calls', 'legs', 'call_attempts'])) / calls);
    await tell({ kind: 'load' });
    say(`${size.nodes} nodes and ${calls} calls stand`);

    const switchyard = start('switchyard', {
      HTTP_PORT: '0',
      OPERATIONS_PORT: '0',
      HTTP_HOST: '127.0.0.1',
      REDIS_PREFIX: seed.PREFIX,
      SWITCHYARD_SECRET: secretKey.toString('base64'),
      BOOTSTRAP_API_KEY: API_KEY,
      DATABASE_POOL_SIZE: String(DATABASE_POOL),
      LOG_LEVEL: process.env.LOG_LEVEL ?? 'error',
      HEALTH_SECONDS: '0',
      CANARY_SECONDS: '0',
    });
    const usage = (): Promise<Usage> => switchyard.ask<Usage>({ kind: 'usage' }, STEP_MS);
    const started = performance.now();
    const { url } = await switchyard.ask<{ url: string }>({ kind: 'start' }, STEP_MS);
    await until('all nodes serve', async () => (await countOf(db('nodes').whereNot('state', 'serving'))) === 0);
    const takeUpMs = round(performance.now() - started);
    say(`all nodes serve after ${takeUpMs} ms`);
    const lostAtStart = await countOf(db('calls').where('state', 'ended'));
    if (lostAtStart > 0) throw new Error(`${lostAtStart} standing calls were settled as if they were gone`);

    const idle = await measureIdle(db, redis, usage);
    say(`idle: ${JSON.stringify(idle)}`);
    const placing = await measurePlacing(db, redis, Math.min(1500, size.nodes * 10));
    say(`placing: ${JSON.stringify(placing)}`);
    const sweep = await measureSweep(db, redis);
    say(`sweep: ${JSON.stringify(sweep)}`);
    const bare = (await measureBareTransactions(stores.databaseUrl, DATABASE_POOL)).perSecond;

    const burst = async (domains: number, mark: number): Promise<number> => {
      await seed.seedCalls(db, seeded, { count: size.burstCalls, state: 'placing', domains });
      await usage();
      const from = performance.now();
      const { events } = await tell<{ events: number }>({ kind: 'burst', mark });
      await until(
        'the burst is taken in',
        async () => (await countOf(db('nodes').whereNot('idle_cpu_percent', mark))) === 0,
      );
      const left = await countOf(db('calls').where('state', 'placing'));
      if (left > 0) throw new Error(`${left} calls of the burst did not end`);
      return events / ((performance.now() - from) / 1000);
    };
    const perSecond = round(await burst(seed.DOMAINS, BURST_MARK));
    const events = { perSecond, ratioToBare: round(perSecond / bare, 2), usage: await usage() };
    const eventsOneDomain = round(await burst(1, BURST_MARK + 1));
    say(`events: ${JSON.stringify({ ...events, bare, eventsOneDomain })}`);

    const real = { ...(await placeReal(db, url, size)), usage: await usage() };
    say(`real calls: ${JSON.stringify(real)}`);
    const compare = await measureCompare(db, redis, seeded.nodeIds[0]!, port, tell);
    say(`compare: ${JSON.stringify(compare)}`);
    const bytesPerEvent = round((await sizeOf(db, ['events'])) / (await countOf(db('events'))));
    await switchyard.ask({ kind: 'stop' }, STEP_MS);
    return {
      ...{ nodes: size.nodes, calls, bytesPerClaim, bytesPerLiveCall, bytesPerEvent, takeUpMs, idle, placing, sweep },
      ...{ bare, events, eventsOneDomain, real, compare },
    };
  } finally {
    for (const role of roles) role.stop();
    redis.disconnect();
    await db.destroy();
  }
}

async function sizeOf(db: Db, tables: string[]): Promise<number> {
  const result = await db.raw<{ rows: { bytes: string }[] }>(
    'select sum(pg_total_relation_size(t::regclass)) as bytes from unnest(?::text[]) as t',
    [tables],
  );
  return Number(result.rows[0]!.bytes);
}

async function countOf(query: { count(what: string): PromiseLike<unknown> }): Promise<number> {
  const rows = (await query.count('* as count')) as { count: string }[];
  return Number(rows[0]!.count);
}

const readTransactions = async (db: Db): Promise<number> =>
  Number(
    (
      await db.raw<{ rows: { n: string }[] }>(
        'select xact_commit as n from pg_stat_database where datname = current_database()',
      )
    ).rows[0]!.n,
  );

async function measureIdle(db: Db, redis: Redis, usage: () => Promise<Usage>): Promise<Figures['idle']> {
  await sleep(2000);
  await usage();
  const before = [await seed.readRedis(redis, 'stats', 'total_commands_processed'), await readTransactions(db)];
  const seconds = 6;
  await sleep(seconds * 1000);
  const after = [await seed.readRedis(redis, 'stats', 'total_commands_processed'), await readTransactions(db)];
  return {
    ...(await usage()),
    redisCommands: round((after[0]! - before[0]!) / seconds),
    transactions: round((after[1]! - before[1]!) / seconds),
  };
}

function settleDeps(db: Db, redis: Redis) {
  const logger = createLogger('error');
  return {
    db,
    logger,
    log: createEventLog(db, { ring: () => undefined }, logger),
    claims: createClaims(redis, seed.PREFIX),
    links: { api: () => Promise.reject(new Error('nothing is to be told to a node here')) },
    commandTimeoutMs: 5000,
  };
}

/** A whole round over all live calls, in the steps in which Switchyard does it every two seconds. */
async function measureSweep(db: Db, redis: Redis): Promise<Figures['sweep']> {
  const sweep = createCallSweep({
    ...settleDeps(db, redis),
    queue: { restore: async () => undefined },
  });
  const before = await seed.readRedis(redis, 'stats', 'total_commands_processed');
  const steps: number[] = [];
  const { ms, statements } = await countStatements(db, async () => {
    do {
      const from = performance.now();
      await sweep.step(new Date());
      steps.push(performance.now() - from);
    } while (!sweep.isAtStart());
  });
  const commands = (await seed.readRedis(redis, 'stats', 'total_commands_processed')) - before;
  return {
    roundMs: ms,
    longestStepMs: round(Math.max(...steps)),
    steps: steps.length,
    statements,
    redisCommands: commands,
  };
}

/** Calls through REST, queue, placement, claim, originate and events. */
async function placeReal(db: Db, url: string, size: Size): Promise<Omit<Figures['real'], 'usage'>> {
  const ids: string[] = [];
  const started = performance.now();
  await time(size.realCalls, 40, async (i) => {
    const dueMs = (i / size.realPerSecond) * 1000;
    await sleep(Math.max(0, dueMs - (performance.now() - started)));
    const response = await fetch(`${url}/v1/calls`, {
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ domain: seed.domainName(i % seed.DOMAINS), from: 'user:1001', to: 'user:1002' }),
      signal: AbortSignal.timeout(20_000),
    });
    const body = (await response.json()) as { id?: string };
    if (response.status >= 300 || !body.id)
      throw new Error(`POST /v1/calls: ${response.status} ${JSON.stringify(body)}`);
    ids.push(body.id);
  });
  const own = () => db('calls').whereIn('id', ids);
  await until('the real calls ended', async () => (await countOf(own().whereNot('state', 'ended'))) === 0, 60_000);
  const rows = (await own().select('queued_at', 'placing_at', 'outcome')) as {
    queued_at: Date;
    placing_at: Date;
    outcome: string;
  }[];
  const waits = rows.map((r) => r.placing_at.getTime() - r.queued_at.getTime());
  return {
    placedP50Ms: quantile(waits, 0.5),
    placedP99Ms: quantile(waits, 0.99),
    answered: rows.filter((r) => r.outcome === 'answered').length,
    lost: rows.filter((r) => r.outcome !== 'answered').length,
  };
}

/** One node with a hundred calls: the comparison alone, and the whole way back after its sockets were cut. */
async function measureCompare(
  db: Db,
  redis: Redis,
  nodeId: string,
  port: number,
  tell: <T>(order: NodesOrder) => Promise<T>,
): Promise<Figures['compare']> {
  const node = (await findNode(db, nodeId))!;
  const logger = createLogger('error');
  const connection = await openConnection({
    ...{ host: '127.0.0.1', port, password: seed.passwordOf(node.name), connectTimeoutMs: 5000, logger },
  });
  const { ms, statements } = await countStatements(db, () =>
    reconcileChannels({ ...settleDeps(db, redis), memories: createChannelMemories() }, node, connection, new Date()),
  );
  connection.close();
  await tell({ kind: 'drop', nodeId, mark: DROP_MARK });
  const reconnectMs = await until(
    'the node is back',
    async () => Number((await findNode(db, nodeId))!.idle_cpu_percent) === DROP_MARK,
  );
  return { ms, statements, reconnectMs: round(reconnectMs) };
}
