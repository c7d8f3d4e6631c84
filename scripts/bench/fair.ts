/** How soon a call is dialled: alone, under load, and beside a tenant with 500 ringing and 1,000 queued calls. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createDb, type Db } from '../../src/infra/stores/db';
import { createId } from '../../src/infra/ids';
import { migrateDb } from '../../src/infra/stores/migrate';
import type { Stores } from '../stores/stores';
import { createStandIns, type Dialled, type NodesOrder } from './scale/nodes';
import { createOwnSwitchyard } from './scale/process';
import * as seed from './scale/seed';
import { ownRole, quantile, round, serveRole, startRole, withStores, type Role } from './roles';

const API_KEY = 'sk_bench_admin_key_of_switchyard';
const STEP_MS = 120_000;
const NODES = 20;
const RINGING = 500;
const QUEUED = 1000;
/** Of the other tenant, one after the other. */
const PROBES = 30;
/** A call that was not dialled by then is counted as never dialled. */
const GIVE_UP_MS = 10_000;
/** They ring for longer than the run; see scale/nodes.ts. */
const RINGS_ONLY = { ringTimeoutSeconds: 300, queueTimeoutSeconds: 600 };

interface Times {
  answerMs: number;
  /** From the request until originate was at the node; undefined where it was not in time. */
  dialMs: number | undefined;
}

interface Bench {
  db: Db;
  url: string;
  /** When each call was at its node, as far as that was told. */
  dialledAt: Map<string, number>;
  readDialled(): Promise<void>;
}

async function post(
  bench: Bench,
  domain: string,
  extra: Record<string, unknown> = {},
): Promise<{ id: string; startMs: number; answerMs: number }> {
  const startMs = Date.now();
  const response = await fetch(`${bench.url}/v1/calls`, {
    method: 'POST',
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ domain, from: 'user:1001', to: '9196', ...extra }),
    signal: AbortSignal.timeout(STEP_MS),
  });
  const body = (await response.json()) as { id?: string };
  if (response.status === 429) {
    await sleep(500);
    return post(bench, domain, extra);
  }
  if (!body.id) throw new Error(`POST /v1/calls: ${response.status} ${JSON.stringify(body)}`);
  return { id: body.id, startMs, answerMs: Date.now() - startMs };
}

async function waitDialled(bench: Bench, ids: readonly string[], timeoutMs: number): Promise<void> {
  const untilMs = Date.now() + timeoutMs;
  for (;;) {
    await bench.readDialled();
    if (ids.every((id) => bench.dialledAt.has(id)) || Date.now() > untilMs) return;
    await sleep(50);
  }
}

/** One after the other: what a tenant with few calls sees. */
async function probe(bench: Bench, domain: string): Promise<Times[]> {
  const times: Times[] = [];
  for (let i = 0; i < PROBES; i += 1) {
    const { id, startMs, answerMs } = await post(bench, domain);
    await waitDialled(bench, [id], GIVE_UP_MS);
    const atMs = bench.dialledAt.get(id);
    times.push({ answerMs, dialMs: atMs === undefined ? undefined : atMs - startMs });
    if (times.filter(({ dialMs }) => dialMs === undefined).length >= 3) return times;
  }
  return times;
}

/** An open loop: calls come at their times, whatever became of those before. */
async function load(bench: Bench, perSecond: number, seconds: number): Promise<Times[]> {
  const began = performance.now();
  const asked = Array.from({ length: perSecond * seconds }, async (_, i) => {
    await sleep(Math.max(0, (i * 1000) / perSecond - (performance.now() - began)));
    return post(bench, seed.domainName(2 + (i % (seed.DOMAINS - 2))));
  });
  const calls = await Promise.all(asked);
  await waitDialled(
    bench,
    calls.map(({ id }) => id),
    GIVE_UP_MS,
  );
  return calls.map(({ id, startMs, answerMs }) => {
    const atMs = bench.dialledAt.get(id);
    return { answerMs, dialMs: atMs === undefined ? undefined : atMs - startMs };
  });
}

function show(what: string, times: readonly Times[]): { p50: number; worst: number; missed: number } {
  const dialled = times.flatMap(({ dialMs }) => (dialMs === undefined ? [] : [dialMs]));
  const answers = times.map(({ answerMs }) => answerMs);
  const figures = {
    answerP50: round(quantile(answers, 0.5)),
    answerP99: round(quantile(answers, 0.99)),
    dialP50: round(quantile(dialled, 0.5)),
    dialP99: round(quantile(dialled, 0.99)),
    dialMost: round(Math.max(0, ...dialled)),
    calls: times.length,
    notDialled: times.length - dialled.length,
  };
  console.log(JSON.stringify({ what, ...figures }));
  return { p50: figures.dialP50, worst: figures.dialMost, missed: figures.notDialled };
}

async function queueMany(db: Db, domainId: string): Promise<void> {
  const rows = Array.from({ length: QUEUED }, () => ({
    id: createId(),
    domain_id: domainId,
    origin: 'api',
    from_address: 'user:1001',
    to_address: '9196',
    state: 'queued',
    units: '1',
    ring_timeout_seconds: RINGS_ONLY.ringTimeoutSeconds,
    place_before: new Date(Date.now() + 600_000),
    queued_at: new Date(),
  }));
  await db.batchInsert('calls', rows, 200);
}

async function count(db: Db, domainId: string, states: string[]): Promise<number> {
  const rows = (await db('calls').where({ domain_id: domainId }).whereIn('state', states).count('* as count')) as {
    count: string;
  }[];
  return Number(rows[0]!.count);
}

async function measure(bench: Bench, greedyId: string, rates: readonly number[]): Promise<void> {
  const [greedy, other] = [seed.domainName(0), seed.domainName(1)];
  await load(bench, 20, 2); // warms up
  for (const rate of rates) show(`${rate} calls a second of ${seed.DOMAINS - 2} domains`, await load(bench, rate, 8));
  const alone = show('one tenant alone, one call after the other', await probe(bench, other));
  for (let i = 0; i < RINGING; i += 10) {
    await Promise.all(Array.from({ length: 10 }, () => post(bench, greedy, RINGS_ONLY)));
  }
  await queueMany(bench.db, greedyId);
  await sleep(5000); // the sweep has seen them twice
  const ringing = await count(bench.db, greedyId, ['placing', 'ringing']);
  const queued = await count(bench.db, greedyId, ['queued']);
  const beside = show(
    `the same beside a tenant with ${ringing} ringing and ${queued} queued calls`,
    await probe(bench, other),
  );
  console.log(
    JSON.stringify({
      ratio: round(beside.p50 / Math.max(1, alone.p50), 2),
      worstMs: beside.worst,
      notDialled: beside.missed,
    }),
  );
  if (beside.missed > 0 || beside.worst > 1000)
    throw new Error("another tenant's call was not dialled within a second");
}

async function run(stores: Stores, rates: readonly number[]): Promise<void> {
  const secretKey = randomBytes(32);
  const db = createDb(stores.databaseUrl, 4);
  const env = { DATABASE_URL: stores.databaseUrl, REDIS_URL: stores.redisUrl };
  const roles: Role[] = [];
  try {
    const nodes = startRole(__filename, 'nodes', env);
    roles.push(nodes);
    const tell = <T>(order: NodesOrder): Promise<T> => nodes.ask<T>(order, STEP_MS);
    const { port } = await tell<{ port: number }>({ kind: 'listen' });
    await migrateDb(db);
    const { domainIds } = await seed.seedNodes(db, { nodes: NODES, port, secretKey });
    await tell({ kind: 'load' });
    const switchyard = startRole(__filename, 'switchyard', {
      ...env,
      HTTP_PORT: '0',
      HTTP_HOST: '127.0.0.1',
      REDIS_PREFIX: seed.PREFIX,
      SWITCHYARD_SECRET: secretKey.toString('base64'),
      NODE_JOIN_TOKEN: randomBytes(16).toString('hex'),
      BOOTSTRAP_API_KEY: API_KEY,
      LOG_LEVEL: process.env.LOG_LEVEL ?? 'error',
      HEALTH_SECONDS: '0',
      CANARY_SECONDS: '0',
    });
    roles.push(switchyard);
    const { url } = await switchyard.ask<{ url: string }>({ kind: 'start' }, STEP_MS);
    const untilMs = Date.now() + STEP_MS;
    while ((await db('nodes').whereNot('state', 'serving').first('id')) !== undefined) {
      if (Date.now() > untilMs) throw new Error('the nodes do not serve');
      await sleep(50);
    }
    const dialledAt = new Map<string, number>();
    const readDialled = async (): Promise<void> => {
      for (const { callId, atMs } of await tell<Dialled[]>({ kind: 'dialled' })) {
        if (dialledAt.has(callId)) throw new Error(`call ${callId} was dialled twice`);
        dialledAt.set(callId, atMs);
      }
    };
    await measure({ db, url, dialledAt, readDialled }, domainIds[0]!, rates);
  } finally {
    for (const role of roles) role.stop();
    await db.destroy();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rates: { type: 'string', default: '10,50,100' } } });
  console.log(
    `${NODES} stand-in nodes and one Switchyard on this machine. Milliseconds from a request until its answer, and until ` +
      `originate is at the node; a call that is not there within ${GIVE_UP_MS / 1000} s counts as not dialled.`,
  );
  await withStores((stores) => run(stores, values.rates.split(',').map(Number)));
}

if (ownRole === 'nodes') serveRole(createStandIns(process.env.DATABASE_URL!));
else if (ownRole === 'switchyard') serveRole(createOwnSwitchyard());
else
  main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
