/** Holds the pool's snapshot to what it may save: never past a capacity, never at a node that drains, never "full" in vain. */
import { Redis } from 'ioredis';
import { CLAIM_TTL_MS, createClaims, type Claims } from '../../../../src/domains/nodes/capacity/claims';
import { reserveNode } from '../../../../src/domains/nodes/selection/reserve-node';
import { createPoolSnapshots } from '../../../../src/domains/nodes/pool/pool-snapshot';
import { createId } from '../../../../src/infra/ids';
import { useStores } from '../../../stores';

const stores = useStores();
let redis: Redis;
let claims: Claims;

beforeAll(() => void (redis = new Redis(stores.redisUrl)));
beforeEach(async () => {
  claims = createClaims(redis, `${stores.redisPrefix}-${createId()}`);
  await stores.db('nodes').delete();
});
afterAll(() => redis.disconnect());

async function addNodes(count: number, capacity = 4): Promise<string[]> {
  const rows = Array.from({ length: count }, (_, i) => ({
    id: createId(),
    name: `n${i}`,
    secret_hash: '',
    esl_password_sealed: '',
    host: '192.0.2.1',
    esl_port: 1,
    sip_port: 1,
    internode_port: 1,
    ws_port: 1,
    capacity_units: capacity,
    state: 'serving',
    max_sessions: 1000,
    reported_at: new Date(),
  }));
  await stores.db('nodes').insert(rows);
  return rows.map((r) => r.id);
}

function openReplica(now: () => number = Date.now) {
  const pool = createPoolSnapshots({ db: stores.db, claims, now });
  const deps = { db: stores.db, claims, pool, reportLimitMs: 60_000, minIdleCpuPercent: 0, random: Math.random };
  const hold = (change = {}) =>
    reserveNode(deps, { callId: createId(), units: 2, registeredNodeIds: [], excludedNodeIds: [], ...change });
  return { pool, hold };
}

test('replicas with old snapshots fill the pool exactly, and no node past its capacity', async () => {
  const ids = await addNodes(60);
  const frozen = () => 1; // a snapshot that is never taken anew by itself
  const replicas = [openReplica(frozen), openReplica(frozen), openReplica(frozen)];
  const held = await Promise.all(Array.from({ length: 130 }, (_, i) => replicas[i % 3]!.hold()));
  expect(held.filter((h) => h.node).length).toBe(120);
  expect(await claims.readTotals(ids, Date.now())).toEqual(ids.map(() => 4));
  const refused = held.find((h) => !h.node)!;
  expect(refused.choice.considered).toHaveLength(60);
});

test('what one replica holds it counts at once, so its calls spread', async () => {
  const ids = await addNodes(10, 100);
  const { hold } = openReplica(() => 1);
  for (let i = 0; i < 20; i += 1) await hold();
  expect(await claims.readTotals(ids, Date.now())).toEqual(ids.map(() => 4));
});

test('a node that began to drain after the snapshot gets nothing, and its capacity is given back', async () => {
  const [first, second] = await addNodes(2);
  const { pool, hold } = openReplica(() => 1);
  await pool.read();
  await stores.db('nodes').where({ id: first }).update({ state: 'draining' });
  for (let i = 0; i < 2; i += 1) expect((await hold()).node?.id).toBe(second);
  const last = await hold();
  expect(last.node).toBeUndefined();
  expect(last.choice.considered.map((c) => c.rejected).sort()).toEqual(['full', 'not_serving']);
  expect(await claims.readTotals([first!, second!], Date.now())).toEqual([0, 4]);
});

test('"no node" is only said of the pool as it is now', async () => {
  const { pool, hold } = openReplica(() => 1);
  expect(await pool.read()).toEqual([]);
  const [id] = await addNodes(1);
  expect((await hold()).node?.id).toBe(id);
});

test('where the claim can not be asked for, the fault is told and nothing stays counted', async () => {
  await addNodes(1);
  const { pool, hold } = openReplica(() => 1);
  await pool.read();
  const claim = jest.spyOn(claims, 'claim').mockRejectedValue(new Error('redis is away'));
  await expect(hold()).rejects.toThrow('redis is away');
  claim.mockRestore();
  expect((await pool.read())[0]!.claimedUnits).toBe(0);
});

test('a reservation made while the pool is read is in the snapshot', async () => {
  const [id] = await addNodes(1);
  const { pool } = openReplica(() => 1);
  const reading = pool.readExactly();
  pool.reserve(id!, 2);
  expect((await reading)[0]!.claimedUnits).toBe(2);
});

test('estimates are never below what is held, and expired claims leave them after a round through the pool', async () => {
  const ids = Array.from({ length: 120 }, (_, i) => `node-${i}`);
  const start = 1_000_000;
  for (const id of ids) await claims.claim(id, 'old', 2, 10, start);
  await claims.claim(ids[70]!, 'young', 1.5, 10, start + CLAIM_TTL_MS);
  expect((await claims.estimateTotals(ids, start)).slice(0, 70)).toEqual(ids.slice(0, 70).map(() => 2));
  const later = start + CLAIM_TTL_MS + 1;
  let totals: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    totals = await claims.estimateTotals(ids, later);
    expect(totals[70]).toBeGreaterThanOrEqual(1.5);
  }
  expect(totals).toEqual(ids.map((_, i) => (i === 70 ? 1.5 : 0)));
  expect(await claims.readTotals(ids, later)).toEqual(totals);
});
