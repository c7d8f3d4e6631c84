/**
 * How many placements a second a pool of 1,000 nodes takes, how evenly they spread, and that no node is overfilled. With
 * `--calls`: how long POST /v1/calls takes, and how long until originate is at the node, at several rates.
 */
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createClaims } from '../../src/domains/nodes/capacity/claims';
import { reserveNode } from '../../src/domains/nodes/selection/reserve-node';
import { selectNode, type NodeView } from '../../src/domains/nodes/selection/select-node';
import { createPoolSnapshots } from '../../src/domains/nodes/pool/pool-snapshot';
import { createDb, type Db } from '../../src/infra/stores/db';
import { createId } from '../../src/infra/ids';
import { migrateDb } from '../../src/infra/stores/migrate';
import { figuresOf, load, quantileOfWaits, withCallBench, type CallBench } from './scale/calls';
import { createStandIns } from './scale/nodes';
import { createOwnSwitchyard } from './scale/process';
import { DOMAINS } from './scale/seed';
import { median, ownRole, quantile, round, serveRole, startRole, withStores, type Role } from './roles';

const ROUNDS = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 5);
const NODES = 1000;
const CAPACITY_UNITS = 40;
const CALL_UNITS = 2;
const SLOTS = (NODES * CAPACITY_UNITS) / CALL_UNITS;
const WORKERS = 4;
const CONCURRENCY = 16;
const LIMIT_MS = 60_000;

interface Order {
  kind: 'place' | 'eval' | 'pick';
  count: number;
  prefix: string;
}

interface Answer {
  done: number;
  refused: number;
  seconds: number;
  times: number[];
}

const poolRequest = {
  units: CALL_UNITS,
  registeredNodeIds: [],
  excludedNodeIds: [],
  reportLimitMs: 3_600_000,
  minIdleCpuPercent: 0,
};

/** One replica: its own connections, its own video of the pool. */
function createWorker(): (order: Order) => Promise<Answer> {
  const db = createDb(process.env.DATABASE_URL!, 4);
  const redis = new Redis(process.env.REDIS_URL!);
  return async (order) => {
    const claims = createClaims(redis, order.prefix);
    const pool = createPoolSnapshots({ db, claims, now: Date.now });
    const views: readonly NodeView[] = await pool.read();
    const deps = { ...poolRequest, db, claims, pool, random: Math.random };
    const one = {
      place: async () => (await reserveNode(deps, { ...poolRequest, callId: createId() })).node !== undefined,
      eval: async () => (await redis.eval("return redis.call('incr', KEYS[1])", 1, `${order.prefix}:bare`)) !== 0,
      pick: () => Promise.resolve(selectNode(views, poolRequest, Date.now(), Math.random).nodeId !== null),
    }[order.kind];
    return repeat(one, order.count);
  };
}

async function repeat(one: () => Promise<boolean>, count: number): Promise<Answer> {
  const answer: Answer = { done: 0, refused: 0, seconds: 0, times: [] };
  const started = performance.now();
  let left = count;
  const run = async (): Promise<void> => {
    while (left-- > 0 && performance.now() - started < LIMIT_MS) {
      const from = performance.now();
      if (await one()) answer.done += 1;
      else answer.refused += 1;
      answer.times.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, run));
  answer.seconds = (performance.now() - started) / 1000;
  return answer;
}

async function askAll(workers: Role[], order: Order): Promise<Answer & { perSecond: number }> {
  const answers = await Promise.all(workers.map((w) => w.ask<Answer>(order, LIMIT_MS + 20_000)));
  const seconds = Math.max(...answers.map((a) => a.seconds));
  const done = answers.reduce((sum, a) => sum + a.done, 0);
  const refused = answers.reduce((sum, a) => sum + a.refused, 0);
  return { done, refused, seconds, times: answers.flatMap((a) => a.times), perSecond: done / seconds };
}

async function seed(db: Db): Promise<string[]> {
  await migrateDb(db);
  const rows = Array.from({ length: NODES }, (_, i) => ({
    id: createId(),
    name: `sim-${String(i).padStart(4, '0')}`,
    secret_hash: '',
    esl_password_sealed: '',
    host: '192.0.2.1',
    esl_port: 8021,
    sip_port: 5060,
    internode_port: 5080,
    ws_port: 5066,
    capacity_units: CAPACITY_UNITS,
    state: 'serving',
    session_count: 0,
    max_sessions: 1000,
    idle_cpu_percent: 90,
    reported_at: new Date(),
  }));
  await db.batchInsert('nodes', rows, 200);
  await db.raw('analyze');
  return rows.map((r) => r.id);
}

/** Calls on each node, counted from the claims themselves. */
async function readSpread(redis: Redis, prefix: string, ids: string[]): Promise<Record<string, number>> {
  const totals = await createClaims(redis, prefix).readTotals(ids, Date.now());
  const calls = totals.map((units) => units / CALL_UNITS);
  const mean = calls.reduce((a, b) => a + b, 0) / calls.length;
  const sigma = Math.sqrt(calls.reduce((sum, c) => sum + (c - mean) ** 2, 0) / calls.length);
  return {
    calls: mean * calls.length,
    meanPerNode: round(mean, 2),
    min: Math.min(...calls),
    max: Math.max(...calls),
    sigma: round(sigma, 2),
    overCapacity: totals.filter((units) => units > CAPACITY_UNITS).length,
  };
}

async function measure(workers: Role[], redis: Redis, ids: string[]): Promise<void> {
  const share = Math.floor((SLOTS * 0.8) / WORKERS);
  const orders = { place: share, eval: share * 4, pick: 1000 };
  const rounds: { place: number; eval: number; pick: number; p50: number; p99: number }[] = [];
  let spread: Record<string, number> = {};
  for (let i = -1; i < ROUNDS; i += 1) {
    const prefix = `bench-${i + 1}`;
    const kinds = (['eval', 'pick', 'place'] as const).map((kind) => kind);
    if (i % 2) kinds.reverse();
    const rates = { place: 0, eval: 0, pick: 0, p50: 0, p99: 0 };
    for (const kind of kinds) {
      const answer = await askAll(workers, { kind, count: orders[kind], prefix });
      rates[kind] = answer.perSecond;
      if (kind === 'place') [rates.p50, rates.p99] = [quantile(answer.times, 0.5), quantile(answer.times, 0.99)];
    }
    spread = await readSpread(redis, prefix, ids);
    if (spread.overCapacity) throw new Error(`nodes are over capacity: ${JSON.stringify(spread)}`);
    if (i >= 0) rounds.push(rates); // the first warms up
  }
  const full = await askAll(workers, {
    kind: 'place',
    count: Math.ceil((SLOTS * 1.02) / WORKERS),
    prefix: 'bench-full',
  });
  const filled = await readSpread(redis, 'bench-full', ids);
  const of = (key: keyof (typeof rounds)[number], digits = 0): number =>
    round(median(rounds.map((r) => r[key])), digits);
  console.log(
    `${NODES} nodes of ${CAPACITY_UNITS} units in Postgres, calls of ${CALL_UNITS} units, claims in Redis, ${WORKERS} worker ` +
      `processes with ${CONCURRENCY} placements under way in each. A placement is pick, claim and a last look at the node's ` +
      `row. "eval" is a script of one INCR, "pick" the pure choice among all nodes, both by as many processes; ${ROUNDS} ` +
      `rounds, interleaved, medians. The spread is that of one round, at 80% of the pool; "full" asks for 2% more than fits.`,
  );
  console.log(JSON.stringify({ evalPerSecond: of('eval'), pickPerSecond: of('pick') }));
  console.log(JSON.stringify({ placementsPerSecond: of('place'), p50Ms: of('p50', 2), p99Ms: of('p99', 2) }));
  console.log(JSON.stringify({ spread }));
  console.log(JSON.stringify({ full: { placed: full.done, refused: full.refused, slots: SLOTS, ...filled } }));
  if (filled.overCapacity || filled.calls !== SLOTS || full.done !== SLOTS)
    throw new Error('the pool is not exactly full');
  const ratio = (key: 'eval' | 'pick'): number => round(median(rounds.map((r) => r.place / r[key])), 3);
  console.log(JSON.stringify({ ratioToEval: ratio('eval'), ratioToPick: ratio('pick') }));
}

async function main(): Promise<void> {
  await withStores(async (stores) => {
    const db = createDb(stores.databaseUrl, 2);
    const redis = new Redis(stores.redisUrl);
    const env = { DATABASE_URL: stores.databaseUrl, REDIS_URL: stores.redisUrl };
    const workers = Array.from({ length: WORKERS }, () => startRole(__filename, 'worker', env));
    try {
      await measure(workers, redis, await seed(db));
    } finally {
      for (const worker of workers) worker.stop();
      redis.disconnect();
      await db.destroy();
    }
  });
}

/** Calls a second, each for so long; the last is what must be held. */
const RATES = [10, 50, 200] as const;
const CALL_SECONDS = 10;
const CALL_NODES = 100;

/** What is asked, what it took, and the queue's share: from a call's entry into it until its job began. */
async function measureCalls(bench: CallBench): Promise<void> {
  await load(bench, 20, 3, 0, 'counts'); // warms up
  for (const rate of RATES) {
    const before = await bench.readQueueWaits();
    await bench.readUsage();
    const figures = figuresOf(await load(bench, rate, CALL_SECONDS, 0, 'counts'));
    const { cpuPercent, loopP99Ms } = await bench.readUsage();
    const after = await bench.readQueueWaits();
    const [queueP50, queueP99] = [0.5, 0.99].map((share) => quantileOfWaits(before, after, share));
    console.log(JSON.stringify({ perSecond: rate, ...figures, queueP50, queueP99, cpuPercent, loopP99Ms }));
    await sleep(3000); // the last have ended
  }
}

async function mainCalls(): Promise<void> {
  const load = (): string => loadavg()[0]!.toFixed(1);
  console.log(
    `${CALL_NODES} stand-in nodes, ${DOMAINS} domains and one Switchyard on this machine, whose load is ${load()}. ` +
      'Milliseconds from a request until its answer, and until originate is at the node; of that, how long it stood in ' +
      'the queue (upper bounds of buckets). Calls ring for 0.1 s and talk for 1 s.',
  );
  await withStores((stores) => withCallBench(stores, { file: __filename, nodes: CALL_NODES }, measureCalls));
  console.log(`The machine's load was ${load()} afterwards.`);
}

if (ownRole === 'worker') serveRole(createWorker());
else if (ownRole === 'nodes') serveRole(createStandIns(process.env.DATABASE_URL!));
else if (ownRole === 'switchyard') serveRole(createOwnSwitchyard());
else
  (process.argv.includes('--calls') ? mainCalls() : main()).catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
