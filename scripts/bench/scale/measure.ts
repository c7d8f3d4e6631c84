/** The single measurements: each beside a peer that does the least possible of the same on the same stores. */
import { Pool } from 'pg';
import { createClaims } from '../../../src/domains/nodes/capacity/claims';
import { reserveNode } from '../../../src/domains/nodes/selection/reserve-node';
import { selectNode } from '../../../src/domains/nodes/selection/select-node';
import { createPoolSnapshots } from '../../../src/domains/nodes/pool/pool-snapshot';
import type { Db } from '../../../src/infra/stores/db';
import { createId } from '../../../src/infra/ids';
import type { Redis } from '../../../src/infra/stores/redis';
import { quantile, round } from '../roles';
import { PREFIX } from './seed';

export interface Timing {
  p50Ms: number;
  p99Ms: number;
  perSecond: number;
}

const request = {
  units: 1,
  registeredNodeIds: [],
  excludedNodeIds: [],
  reportLimitMs: 60_000,
  minIdleCpuPercent: 0,
};
const CONCURRENCY = 16;

export async function time(count: number, concurrency: number, one: (i: number) => unknown): Promise<Timing> {
  const times: number[] = [];
  const started = performance.now();
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < count) {
      const from = performance.now();
      await one(next++);
      times.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, run));
  const seconds = (performance.now() - started) / 1000;
  return {
    p50Ms: round(quantile(times, 0.5), 3),
    p99Ms: round(quantile(times, 0.99), 3),
    perSecond: round(count / seconds),
  };
}

export interface Placing {
  readPool: Timing;
  pick: Timing;
  eval: Timing;
  claim: Timing;
  hold: Timing;
}

/** Each alone, one after the other: they share two cores with everything else. */
export async function measurePlacing(db: Db, redis: Redis, holds: number): Promise<Placing> {
  const claims = createClaims(redis, PREFIX);
  let tick = Date.now();
  const fresh = createPoolSnapshots({ db, claims, now: () => (tick += 1000) });
  const views = await fresh.readExactly();
  const readPool = await time(20, 1, () => fresh.read());
  const pick = await time(500, 1, () => {
    if (!selectNode(views, request, Date.now(), Math.random).nodeId) throw new Error('no node can take a call');
  });
  const bare = await time(20_000, CONCURRENCY, () =>
    redis.eval("return redis.call('incr', KEYS[1])", 1, `${PREFIX}:bare`),
  );
  const ids = Array.from({ length: 20_000 }, () => createId());
  const nodeOf = (i: number): string => views[i % views.length]!.id;
  const claim = await time(5000, CONCURRENCY, (i) => claims.claim(nodeOf(i), ids[i]!, 1, null, Date.now()));
  for (let i = 0; i < 5000; i += 1) void claims.release(nodeOf(i), ids[i]!, Date.now());
  const deps = {
    ...request,
    db,
    claims,
    random: Math.random,
    pool: createPoolSnapshots({ db, claims, now: Date.now }),
  };
  const held: [string, string][] = [];
  const hold = await time(holds, CONCURRENCY, async () => {
    const callId = createId();
    const { node } = await reserveNode(deps, { ...request, callId });
    if (!node) throw new Error('no node was held');
    held.push([node.id, callId]);
  });
  await Promise.all(held.map(([nodeId, callId]) => claims.release(nodeId, callId, Date.now())));
  return { readPool, pick, eval: bare, claim, hold };
}

/** Transactions that move one leg and number one event, and nothing else: what no handling of an event can beat. */
export async function measureBareTransactions(databaseUrl: string, connections: number): Promise<Timing> {
  const pool = new Pool({ connectionString: databaseUrl, max: connections });
  const legs = (
    await pool.query<{ id: string; domain_id: string }>(
      'select l.id, c.domain_id from legs l join calls c on c.id = l.call_id limit 2000',
    )
  ).rows;
  const timing = await time(4000, connections, async (i) => {
    const { id, domain_id } = legs[i % legs.length]!;
    const client = await pool.connect();
    try {
      await client.query('begin');
      await client.query({ name: 'leg', text: 'update legs set state = state where id = $1', values: [id] });
      await client.query({
        name: 'event',
        text: `with head as (insert into event_heads (stream, last_number) values ($1, 1)
               on conflict (stream) do update set last_number = event_heads.last_number + 1 returning last_number)
               insert into events (stream, number, type, data) select $1, last_number, 'bare', '{}' from head`,
        values: [domain_id],
      });
      await client.query('commit');
    } finally {
      client.release();
    }
  });
  await pool.end();
  return timing;
}

/** Runs something, and counts what it asks of Postgres. */
export async function countStatements<T>(
  db: Db,
  work: () => Promise<T>,
): Promise<{ value: T; ms: number; statements: number }> {
  let statements = 0;
  const seen = (): void => void (statements += 1);
  db.on('query', seen);
  const started = performance.now();
  const value = await work();
  db.removeListener('query', seen);
  return { value, ms: round(performance.now() - started), statements };
}
