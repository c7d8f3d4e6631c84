/** Replicas come and go as processes, or do one thing each: calls go on, and no event is lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { Pool } from 'pg';
import { createApi, type Api, type ApiAnswer } from '../../../scripts/bench/faults/api';
import { again } from '../../../scripts/bench/faults/injecting/inject';
import { bringPeople, type People } from '../../../scripts/bench/faults/load';
import { checkLog } from '../../../scripts/bench/faults/log';
import { createRandom } from '../../../scripts/bench/faults/random';
import { startReader, type StreamReader } from '../../../scripts/bench/faults/judging/reader';
import { startCluster, REDIS_PREFIX, type Cluster } from '../../../scripts/bench/faults/cluster';
import { createLogger } from '../../../src/infra/logger';
import { createRedis } from '../../../src/infra/stores/redis';
import { until } from '../harness';

const ALL = 'api,worker,supervisor';
const CALLS = 200;
/** So many are begun before it is waited for all of them to talk. */
const AT_A_TIME = 40;
/** More of them, which are just being connected when the replica dies. */
const LATE_CALLS = 20;
/** LEASE_MS and RENEW_MS of the streams together. */
const TAKEOVER_MS = 5000;
/** What a busy machine may add: how soon it is on one that has time is measured by scripts/bench/faults.ts. */
const MARGIN_MS = 25_000;

let cluster: Cluster;
let db: Pool;
let redis: Redis;
let api: Api;
let people: People;
let readers: StreamReader[] = [];

async function open(replicas: string[], nodesPerHost: number, phonesPerNode: number): Promise<void> {
  // A busy machine takes reports in late, and answers late: neither is what these tests are about.
  const patience = { heartbeatSeconds: 10, questionTimeoutMs: 30_000 };
  cluster = await startCluster({
    seed: 1,
    replicas,
    hosts: 1,
    nodesPerHost,
    capacity: 600,
    logLevel: 'warn',
    ...patience,
  });
  db = new Pool({ connectionString: cluster.databaseUrl, max: 3 });
  db.on('error', () => undefined); // an idle connection that breaks says nothing of a test
  redis = createRedis(cluster.redisUrl, createLogger('silent'));
  await redis.connect();
  api = createApi(cluster.replicas, createRandom(1));
  people = await bringPeople(cluster, api, phonesPerNode, true);
  readers = [...people.domains, undefined].map((domain, i) => startReader(domain, cluster.replicas, createRandom(i)));
}
afterEach(async () => {
  await Promise.all(readers.map((reader) => reader.stop()));
  redis?.disconnect();
  await db?.end();
  await cluster?.stop();
});

async function count(sql: string): Promise<number> {
  return Number((await db.query<{ count: string }>(`select count(*) from calls where ${sql}`)).rows[0]?.count);
}
/** What came of the calls so far, to be read where a wait is over in vain. */
async function allTalk(wanted: number, timeoutMs: number): Promise<void> {
  let seen = '';
  await until(
    () => `${wanted} calls are answered: ${seen}`,
    async () => {
      const states = `select coalesce(outcome, state) || coalesce(' ' || hangup_cause, '') as state, count(*)::int from calls group by 1`;
      const { rows } = await db.query<{ state: string; count: number }>(states);
      seen = JSON.stringify(rows);
      return rows.some(({ state, count: n }) => state === 'answered' && n === wanted);
    },
    timeoutMs,
  );
}
async function owners(): Promise<Map<string, string | null>> {
  const { rows } = await db.query<{ id: string }>('select id from nodes');
  return new Map(
    await Promise.all(rows.map(async ({ id }) => [id, await redis.get(`${REDIS_PREFIX}:stream:${id}`)] as const)),
  );
}
async function call(i: number): Promise<string> {
  const from = people.phones[i % people.phones.length]!;
  const to = i % 3 === 0 ? '9196' : `user:${people.phones[(i + 1) % people.phones.length]!.username}`;
  const asked = { domain: from.domain, from: `user:${from.username}`, to, queueTimeoutSeconds: 300 };
  let last: ApiAnswer | undefined;
  return until(
    () => `call ${i} is taken: ${JSON.stringify(last)}`,
    async () => {
      // An answer that is late on a busy machine must not make two calls of one.
      last = await api.ask('POST', '/v1/calls', asked, 60_000, `call-${i}`);
      return last.status === 201 ? (last.body as { id: string }).id : undefined;
    },
    120_000,
  );
}
async function callMany(from: number, to: number): Promise<string[]> {
  const ids: string[] = [];
  const AT_ONCE = 4;
  for (let i = from; i < to; i += AT_ONCE) {
    ids.push(...(await Promise.all(Array.from({ length: Math.min(AT_ONCE, to - i) }, (_, j) => call(i + j)))));
  }
  return ids;
}
async function hangUp(ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    await until(`${id} is hung up`, async () => (await api.ask('POST', `/v1/calls/${id}/hangup`, {})).status === 200);
  }
}

test('one replica of two is killed during 200 calls and replaced: all end as they should, and every event is there', async () => {
  await open([ALL, ALL], 4, 10);
  const early: string[] = [];
  while (early.length < CALLS) {
    early.push(...(await callMany(early.length, early.length + AT_A_TIME)));
    await allTalk(early.length, 120_000);
  }
  const before = await owners();
  const [first] = cluster.replicas;
  const late = await callMany(CALLS, CALLS + LATE_CALLS);
  const killedMs = Date.now();
  await first!.kill();
  const leavers = early.slice(0, 60);
  const leaving = hangUp(leavers); // while nobody follows their nodes
  const taken = new Map<string, number>();
  const changed = [...before].filter(([, owner]) => owner !== null).length;
  await until(
    () => `streams are taken over: ${taken.size}`,
    async () => {
      for (const [id, owner] of await owners()) {
        if (owner && owner !== before.get(id)) taken.set(id, taken.get(id) ?? Date.now() - killedMs);
      }
      const others = [...(await owners())].filter(([id, owner]) => owner && owner === before.get(id)).length;
      return taken.size + others >= changed && Date.now() - killedMs > TAKEOVER_MS;
    },
    TAKEOVER_MS + 2 * MARGIN_MS,
  );
  expect(taken.size).toBeGreaterThan(0); // the one that was killed had followed some
  expect(Math.max(...taken.values())).toBeLessThan(TAKEOVER_MS + MARGIN_MS);
  await leaving;
  const unsettled = `state in ('queued', 'placing', 'ringing')`;
  await until('the late ones are connected or over', async () => (await count(unsettled)) === 0, 180_000);
  await again(() => first!.start());
  await hangUp([...early.slice(60), ...late]);
  await until('all are over', async () => (await count(`state = 'ended'`)) === CALLS + LATE_CALLS, 180_000);
  const outcomes = await db.query(
    `select outcome, hangup_cause, (select max(number) from call_attempts a where a.call_id = c.id) as attempts,
            count(*)::int from calls c where c.id = any($1) group by 1, 2, 3`,
    [early],
  );
  expect(outcomes.rows).toEqual([{ outcome: 'answered', hangup_cause: 'NORMAL_CLEARING', attempts: 1, count: CALLS }]);
  // A question that was cut off in the middle leaves its node without an answer: such a call may end at once, but it ends.
  const talked = await db.query('select id from calls where id = any($1) and answered_at is not null', [late]);
  // How many were in the middle of one depends on the machine.
  expect(talked.rowCount).toBeGreaterThan(LATE_CALLS / 4);
  await sleep(1000);
  expect((await checkLog(db, readers)).violations).toEqual([]);
}, 900_000);

test('roles apart: one replica answers, one follows the nodes, one dials', async () => {
  await open(['api', 'supervisor', 'worker'], 2, 2);
  const known = async (): Promise<number> =>
    Number((await db.query<{ n: string }>('select count(distinct user_id) as n from registrations')).rows[0]!.n);
  await until('all phones are known', async () => (await known()) >= people.phones.length);
  const ids = await callMany(0, 8);
  await allTalk(ids.length, 120_000);
  await hangUp(ids);
  await until('all are over', async () => (await count(`state = 'ended' and outcome = 'answered'`)) === 8);
  expect((await checkLog(db, readers)).violations).toEqual([]);
});
