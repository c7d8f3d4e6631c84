/** Holds the statements that queue and place calls to what must never happen: beyond a quota, on a node that drains, twice. */
import { Redis } from 'ioredis';
import { type Pool } from 'pg';
import { findCall, listAttempts, listLegs, listPlacements } from '../../../../src/domains/calls/calls.store';
import { placeCall, type PlaceDeps, type Placed } from '../../../../src/domains/calls/dialing/placement';
import { findDialable, queueCall, type Queued } from '../../../../src/domains/calls/dialing/placement.store';
import { createEventLog } from '../../../../src/domains/events/events';
import { readEvents, type LoggedEvent } from '../../../../src/domains/events/events.store';
import { createClaims, type Claims } from '../../../../src/domains/nodes/capacity/claims';
import { createPoolSnapshots } from '../../../../src/domains/nodes/pool/pool-snapshot';
import { readDefaults } from '../../../../src/domains/quotas/catalogue';
import { createId } from '../../../../src/infra/ids';
import { createLogger } from '../../../../src/infra/logger';
import { createStatementPool } from '../../../../src/infra/stores/db';
import { PATIENCE, useStores } from '../../../stores';

const stores = useStores();
const logger = createLogger('silent');
let pool: Pool;
let redis: Redis;
let claims: Claims;
let domainId: string;
let rung: LoggedEvent[] = [];

beforeAll(() => {
  pool = createStatementPool(stores.databaseUrl, 10, PATIENCE);
  redis = new Redis(stores.redisUrl);
});
beforeEach(async () => {
  await stores.db('nodes').delete();
  rung = [];
  claims = createClaims(redis, `${stores.redisPrefix}-${createId()}`);
  domainId = createId();
  await stores.db('domains').insert({ id: domainId, name: `${domainId}.test` });
});
afterAll(async () => {
  redis.disconnect();
  await pool.end();
});

async function addNode(name: string, capacity = 1000): Promise<string> {
  const ports = { esl_port: 1, sip_port: 1, internode_port: 1, ws_port: 1 };
  const id = createId();
  await stores.db('nodes').insert({
    ...{ id, name, ...ports, secret_hash: '', esl_password_sealed: '', host: '192.0.2.1', capacity_units: capacity },
    ...{ state: 'serving', max_sessions: 10_000, reported_at: new Date(), core_uuid: `core-of-${name}` },
  });
  return id;
}

const setQuota = (quota: string, amount: number) =>
  stores.db('quotas').insert({ domain_id: domainId, quota, amount }).onConflict(['domain_id', 'quota']).merge();

/** One replica, with a snapshot of the pool that stays as it first was. */
function openReplica(): PlaceDeps {
  const log = createEventLog(stores.db, { ring: (events) => rung.push(...events) }, logger);
  const links = { api: () => Promise.reject(new Error('not asked')) };
  return {
    ...{ db: stores.db, log, logger, links, claims, callPool: pool, random: Math.random },
    pool: createPoolSnapshots({ db: stores.db, claims, now: () => 1 }),
    ...{ reportLimitMs: 60_000, minIdleCpuPercent: 0 },
    quotas: { defaults: readDefaults(), refuse: () => undefined },
  };
}

async function queue(deps: PlaceDeps, of = domainId): Promise<{ id: string; queued: Queued }> {
  const id = createId();
  const ends = { from_address: 'user:bert', to_address: '9196', caller_name: '' };
  const times = { place_before: new Date(Date.now() + 60_000), queued_at: new Date() };
  const row = {
    ...{ id, domain_id: of, origin: 'api' as const, units: '1', ring_timeout_seconds: 30 },
    ...ends,
    ...times,
  };
  const draft = { stream: of, type: 'call.queued', callId: id, data: {} };
  const queued = await deps.log.write(() => queueCall(pool, { ...row, metadata: { a: 'b' } }, 2000, draft));
  return { id, queued };
}

async function place(deps: PlaceDeps, id: string): Promise<Placed> {
  return placeCall(deps, (await findDialable(pool, id, new Date()))!);
}

const outcomes = (all: Placed[]): Record<string, number> =>
  all.reduce<Record<string, number>>((sum, { done }) => ({ ...sum, [done]: (sum[done] ?? 0) + 1 }), {});

const stateOf = async (id: string) => (await findCall(stores.db, id))!.state;

test('a placed call has its node, attempt, leg, reasons and event, all of one moment, and its claim', async () => {
  const nodeId = await addNode('n1');
  const deps = openReplica();
  const { id, queued } = await queue(deps);
  expect(queued.outcome).toBe('queued');
  const placed = await place(deps, id);
  const [attempt] = await listAttempts(stores.db, [id]);
  expect(placed).toEqual({ done: 'placed', attempt });
  expect(attempt).toMatchObject({ number: 1, node_id: nodeId, node_name: 'n1', node_core_uuid: 'core-of-n1' });
  expect(await findCall(stores.db, id)).toMatchObject({ state: 'placing', node_id: nodeId, metadata: { a: 'b' } });
  const [leg] = await listLegs(stores.db, [id]);
  expect(leg).toMatchObject({ id: attempt!.leg_id, role: 'from', state: 'placing', address: 'user:bert' });
  expect(await listPlacements(stores.db, id)).toMatchObject([{ attempt: 1, node_name: 'n1', policy: 'least_loaded' }]);
  const written = await readEvents(stores.db, domainId, 0, 10);
  expect(written.map(({ number, type, nodeId: at }) => [number, type, at])).toEqual([
    [1, 'call.queued', null],
    [2, 'call.placing', nodeId],
  ]);
  expect(rung).toEqual(written);
  expect(await claims.listClaims(nodeId)).toEqual([id]);
});

test('of calls placed at the same moment by two replicas no more ring than the domain may have', async () => {
  const nodeId = await addNode('n1');
  await setQuota('ringingCalls', 7);
  const replicas = [openReplica(), openReplica()];
  const ids = await Promise.all(Array.from({ length: 40 }, async (_, i) => (await queue(replicas[i % 2]!)).id));
  const found = await Promise.all(ids.map(async (id) => (await findDialable(pool, id, new Date()))!));
  const placed = await Promise.all(found.map((call, i) => placeCall(replicas[i % 2]!, call)));
  expect(outcomes(placed)).toEqual({ placed: 7, at_limit: 33 });
  expect(await claims.listClaims(nodeId)).toHaveLength(7);
  const numbers = (await readEvents(stores.db, domainId, 0, 100)).map(({ number }) => number);
  expect(numbers).toEqual(Array.from({ length: 47 }, (_, i) => i + 1));
});

test('nor hold more units, whatever rooms of the domain hold beside them', async () => {
  await addNode('n1');
  await setQuota('units', 12);
  const roomId = createId();
  await stores.db('rooms').insert({ id: roomId, domain_id: domainId, name: 'ward', settings: '{}' });
  const session = {
    id: createId(),
    room_id: roomId,
    domain_id: domainId,
    epoch: 1,
    meeting_id: createId(),
    settings: '{}',
  };
  await stores.db('sessions').insert({ ...session, state: 'live', units: 5.5 });
  const deps = openReplica();
  const ids = await Promise.all(Array.from({ length: 30 }, async () => (await queue(deps)).id));
  const found = await Promise.all(ids.map(async (id) => (await findDialable(pool, id, new Date()))!));
  const placed = await Promise.all(found.map((call) => placeCall(deps, call)));
  expect(outcomes(placed)).toEqual({ placed: 6, no_node: 24 });
});

test('no more wait than the domain may have, though they come at the same moment', async () => {
  await setQuota('queuedCalls', 5);
  const deps = openReplica();
  const asked = await Promise.all(Array.from({ length: 40 }, () => queue(deps)));
  const refused = asked.filter(({ queued }) => queued.outcome === 'full');
  expect(refused).toHaveLength(35);
  expect(refused[0]!.queued).toEqual({ outcome: 'full', limit: 5, used: 5 });
  expect(await stores.db('calls').where({ domain_id: domainId }).pluck('state')).toHaveLength(5);
  expect((await readEvents(stores.db, domainId, 0, 100)).map(({ number }) => number)).toEqual([1, 2, 3, 4, 5]);
});

test('a call of a domain that is gone is not written', async () => {
  expect((await queue(openReplica(), createId())).queued).toEqual({ outcome: 'no_domain' });
});

test('two who place the same call: one does, and its claim stays', async () => {
  const nodeId = await addNode('n1');
  const deps = openReplica();
  const { id } = await queue(deps);
  const found = (await findDialable(pool, id, new Date()))!;
  const placed = await Promise.all([placeCall(deps, found), placeCall(openReplica(), found)]);
  expect(outcomes(placed)).toEqual({ placed: 1, taken: 1 });
  expect(await listAttempts(stores.db, [id])).toHaveLength(1);
  expect(await claims.listClaims(nodeId)).toEqual([id]);
});

test.each([
  ['drains', { state: 'draining' }, 'not_serving'],
  ['is found unwell', { unhealthy_reason: 'no_media' }, 'unhealthy'],
  ['has lost a module', { missing_modules: '["mod_sofia"]' }, 'lacks_module'],
])('a node that %s after the snapshot was taken gets no call, and another does', async (_, change, why) => {
  const first = await addNode('n1');
  const deps = openReplica();
  const second = await addNode('n2');
  await deps.pool.read();
  await stores.db('nodes').where({ id: first }).update(change);
  for (let i = 0; i < 4; i += 1) {
    const { id } = await queue(deps);
    expect(await place(deps, id)).toMatchObject({ done: 'placed', attempt: { node_id: second } });
  }
  expect(await claims.listClaims(first)).toEqual([]);
  await stores.db('nodes').where({ id: second }).update({ state: 'down' });
  const { id } = await queue(deps);
  expect(await place(deps, id)).toEqual({ done: 'no_node' });
  const [placement] = await listPlacements(stores.db, id);
  expect(placement!.considered.find(({ nodeId }) => nodeId === first)!.rejected).toBe(why);
  expect(await stateOf(id)).toBe('queued');
});

test('a call that somebody has hung up is not placed, and what was claimed for it is given back', async () => {
  const nodeId = await addNode('n1');
  const deps = openReplica();
  const { id } = await queue(deps);
  const found = (await findDialable(pool, id, new Date()))!;
  await stores.db('calls').where({ id }).update({ hangup_requested_at: new Date() });
  expect(await placeCall(deps, found)).toEqual({ done: 'unwanted' });
  expect(await claims.listClaims(nodeId)).toEqual([]);
  expect(await listAttempts(stores.db, [id])).toEqual([]);
});

test('where Postgres fails while it writes, nothing stays claimed', async () => {
  const nodeId = await addNode('n1');
  const deps = openReplica();
  const { id } = await queue(deps);
  const found = (await findDialable(pool, id, new Date()))!;
  const away = { query: () => Promise.reject(new Error('Connection terminated')) } as unknown as Pool;
  await expect(placeCall({ ...deps, callPool: away }, found)).rejects.toThrow('Connection terminated');
  expect(await claims.listClaims(nodeId)).toEqual([]);
  expect(await stateOf(id)).toBe('queued');
});

test('the caller’s phones are known by the statement that reads the call', async () => {
  const nodeId = await addNode('n1');
  const gone = await addNode('n2');
  await stores.db('nodes').where({ id: gone }).update({ state: 'down' });
  const userId = createId();
  await stores.db('users').insert({ id: userId, domain_id: domainId, username: 'bert', ha1: '' });
  const phone = {
    domain_id: domainId,
    user_id: userId,
    profile: 'internal',
    expires_at: new Date(Date.now() + 60_000),
  };
  for (const [i, at] of [nodeId, nodeId, gone].entries())
    await stores
      .db('registrations')
      .insert({ id: createId(), node_id: at, sip_call_id: `c${i}`, contact: 'x', ...phone });
  const { id } = await queue(openReplica());
  expect((await findDialable(pool, id, new Date()))!.phones_at).toEqual([nodeId]);
  expect((await findDialable(pool, id, new Date(Date.now() + 120_000)))!.phones_at).toEqual([]);
});
