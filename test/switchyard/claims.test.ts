/** However many processes claim at once, and however many of them die: no node is ever promised past its capacity. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createLogger } from '../../src/infra/logger';
import { createRedis, type Redis } from '../../src/infra/redis';
import { CLAIM_TTL_MS, createClaims } from '../../src/domains/nodes/claims';
import { useStores } from '../stores';

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
function runClaimer(nodeId: string, seed: number, capacity: number): Promise<Told> {
  return new Promise((resolve, reject) => {
    const args = ['--import', 'tsx', join(__dirname, 'claimer.ts'), stores.redisPrefix, nodeId];
    const child = spawn(process.execPath, [...args, String(seed), String(capacity)], {
      env: { ...process.env, REDIS_URL: stores.redisUrl },
      cwd: join(__dirname, '..', '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => (text += String(chunk)));
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(JSON.parse(text) as Told) : reject(new Error(`ended ${code}`)),
    );
  });
}

test('four processes, sixty claimers each: what is held never passes the capacity, and every unit comes back', async () => {
  const claims = createClaims(redis, stores.redisPrefix);
  const capacity = 7.5;
  const told = await Promise.all([1, 2, 3, 4].map((seed) => runClaimer('node-a', seed, capacity)));
  expect(Math.max(...told.map((t) => t.highest))).toBeLessThanOrEqual(capacity);
  expect(told.flatMap((t) => t.granted).length).toBeGreaterThan(50);
  const held = told.flatMap((t) => t.granted.filter((call) => !t.released.includes(call)));
  expect((await claims.listClaims('node-a')).sort()).toEqual(held.sort());
  for (const call of held) await claims.release('node-a', call, Date.now());
  expect(await claims.readTotals(['node-a'], Date.now())).toEqual([0]);
}, 60_000);

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
