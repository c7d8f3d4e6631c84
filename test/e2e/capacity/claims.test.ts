/** However many processes claim at once, and however many of them die: no node is ever promised past its capacity. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createLogger } from '../../../src/infra/logger';
import { createRedis, type Redis } from '../../../src/infra/stores/redis';
import { CLAIM_TTL_MS, createClaims } from '../../../src/domains/nodes/capacity/claims';
import { useStores } from '../../stores';

let redis: Redis;
afterAll(() => redis?.disconnect());
const stores = useStores();
beforeAll(async () => {
  redis = createRedis(stores.redisUrl, createLogger('silent'));
  await redis.connect();
});

interface Told {
  granted: string[];
  released: string[];
  highest: number;
}

/** Runs one claimer to its end; it tells what it was granted. */
function runClaimer(
  nodeId: string,
  seed: number,
  capacity: number,
  o: { wild?: boolean; killAfterMs?: number } = {},
): Promise<Told> {
  return new Promise((resolve, reject) => {
    const args = ['--import', 'tsx', join(__dirname, 'claimer.ts'), stores.redisPrefix, nodeId];
    const child = spawn(process.execPath, [...args, String(seed), String(capacity), o.wild ? 'wild' : ''], {
      env: { ...process.env, REDIS_URL: stores.redisUrl },
      cwd: join(__dirname, '..', '..', '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => (text += String(chunk)));
    const kill = o.killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), o.killAfterMs);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(kill);
      if (code === 0) resolve(JSON.parse(text) as Told);
      else if (kill && signal === 'SIGKILL') resolve({ granted: [], released: [], highest: 0 });
      else reject(new Error(`ended ${code}`));
    });
  });
}

test('four processes, sixty claimers each: what is held never passes the capacity, and every unit comes back', async () => {
  const claims = createClaims(redis, stores.redisPrefix);
  const capacity = 7.5;
  const told = await Promise.all([1, 2, 3, 4].map((seed) => runClaimer('node-a', seed, capacity)));
  expect(Math.max(...told.map((t) => t.highest))).toBeLessThanOrEqual(capacity);
  // How many get their turn depends on how many of them really run at once: the more processors, the fewer.
  expect(told.flatMap((t) => t.granted).length).toBeGreaterThan(10);
  const held = told.flatMap((t) => t.granted.filter((call) => !t.released.includes(call)));
  expect((await claims.listClaims('node-a')).sort()).toEqual(held.sort());
  for (const call of held) await claims.release('node-a', call, Date.now());
  expect(await claims.readTotals(['node-a'], Date.now())).toEqual([0]);
});

test('a claim is renewed and not doubled, given back once, and gone when nobody renews it', async () => {
  const claims = createClaims(redis, stores.redisPrefix);
  const now = 1_000_000;
  expect(await claims.claim('node-b', 'x', 0.25, 1, now)).toBe(true);
  expect(await claims.claim('node-b', 'x', 0.25, 1, now)).toBe(true);
  expect(await claims.claim('node-b', 'y', 0.75, 1, now)).toBe(true);
  expect(await claims.claim('node-b', 'z', 0.001, 1, now)).toBe(false);
  expect(await claims.claim('node-b', 'live', 5, null, now)).toBe(true); // it runs already: it is counted, not refused
  expect(await claims.readTotals(['node-b', 'nobody'], now)).toEqual([6, 0]);
  await claims.release('node-b', 'live', now);
  await claims.release('node-b', 'live', now);
  expect(await claims.readTotals(['node-b'], now)).toEqual([1]);
  await claims.claim('node-b', 'x', 0.25, 1, now + CLAIM_TTL_MS - 1);
  expect(await claims.readTotals(['node-b'], now + CLAIM_TTL_MS + 1)).toEqual([0.25]);
  expect(await claims.listClaims('node-b')).toEqual(['x']);
});

test('a claim is made larger only where there is room, smaller always, in one step', async () => {
  const claims = createClaims(redis, stores.redisPrefix);
  const now = 1_000_000;
  await claims.claim('node-c', 'room', 2, 10, now);
  await claims.claim('node-c', 'call', 1, 10, now);
  expect(await claims.resize('node-c', 'room', 9, 10, now)).toBe(true);
  expect(await claims.resize('node-c', 'room', 9.5, 10, now)).toBe(false);
  expect(await claims.readTotals(['node-c'], now)).toEqual([10]);
  expect(await claims.resize('node-c', 'room', 20, null, now)).toBe(true); // it is so already: it is counted
  expect(await claims.resize('node-c', 'room', 15, 10, now)).toBe(true);
  expect(await claims.readTotals(['node-c'], now)).toEqual([16]);
  expect(await claims.resize('node-c', 'forgotten', 1, 10, now)).toBe(false);
  expect(await claims.resize('node-c', 'room', 3, 10, now)).toBe(true);
  expect(await claims.resize('node-c', 'forgotten', 1, 10, now)).toBe(true);
  expect(await claims.readTotals(['node-c'], now)).toEqual([5]);
});

test('processes that claim, resize, let expire and are killed: never past the capacity, and all of it comes back', async () => {
  const claims = createClaims(redis, stores.redisPrefix);
  const capacity = 12.5;
  const wild = (seed: number, killAfterMs?: number) =>
    runClaimer('node-d', seed, capacity, { wild: true, killAfterMs });
  let highest = 0;
  let watching = true;
  const watch = (async () => {
    while (watching) highest = Math.max(highest, ...(await claims.readTotals(['node-d'], Date.now())));
  })();
  const told = await Promise.all([
    wild(1),
    wild(2),
    // Killed with what it held, and begun again by the same seed.
    wild(3, 1500).then(() => wild(3)),
  ]).finally(() => (watching = false));
  await watch;
  // The watcher may have had no turn while the others were at work: what they saw themselves counts as well.
  highest = Math.max(highest, ...told.map((t) => t.highest));
  expect(highest).toBeGreaterThan(capacity / 2);
  expect(highest).toBeLessThanOrEqual(capacity);
  for (const call of await claims.listClaims('node-d')) await claims.release('node-d', call, Date.now());
  expect(await claims.readTotals(['node-d'], Date.now())).toEqual([0]);
});

test('a Redis that has lost everything does not make a full node look empty: who lives there is claimed for first', async () => {
  const prefix = `${stores.redisPrefix}-lost`;
  const now = 1_000_000;
  const living = new Map([
    ['call', 2],
    ['room', 5],
  ]);
  let asked = 0;
  const claims = createClaims(redis, prefix, {
    list(nodeId) {
      asked += 1;
      return Promise.resolve([...living].map(([callId, units]) => ({ nodeId, callId, units })));
    },
    findNeeded: () => Promise.resolve(new Set(living.keys())),
  });
  // Many at once find the node unknown, and none of them sees half of what is there.
  const many = await Promise.all(Array.from({ length: 20 }, (_, i) => claims.claim('node-e', `x${i}`, 1, 10, now)));
  expect(many.filter(Boolean)).toHaveLength(3);
  expect(await claims.readTotals(['node-e'], now)).toEqual([10]);
  const askedFirst = asked;
  expect(await claims.claim('node-e', 'y', 1, 10, now)).toBe(false);
  expect(asked).toBe(askedFirst);

  await redis.del(...(await redis.keys(`${prefix}*`)));
  living.set('ended meanwhile', 1);
  const deps = {
    list: (nodeId: string) => Promise.resolve([...living].map(([callId, units]) => ({ nodeId, callId, units }))),
    findNeeded: () => Promise.resolve(new Set(['call', 'room'])),
  };
  expect(await createClaims(redis, prefix, deps).claim('node-e', 'y', 3, 10, now)).toBe(true);
  expect((await claims.listClaims('node-e')).sort()).toEqual(['call', 'room', 'y']);
  expect(await claims.readTotals(['node-e'], now)).toEqual([10]);
});
