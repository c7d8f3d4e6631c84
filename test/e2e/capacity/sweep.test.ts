/** The sweep keeps claims of live calls, makes forgotten ones anew, and gives back those of calls that ended meanwhile. */
import { createClaims, type HeldClaim } from '../../../src/domains/nodes/capacity/claims';
import { createLogger } from '../../../src/infra/logger';
import { createRedis, type Redis } from '../../../src/infra/stores/redis';
import { useStores } from '../../stores';

let redis: Redis;
afterAll(() => redis?.disconnect());
const stores = useStores();
beforeAll(async () => {
  redis = createRedis(stores.redisUrl, createLogger('silent'));
  await redis.connect();
});

const held = (nodeId: string, count: number): HeldClaim[] =>
  Array.from({ length: count }, (_, i) => ({ nodeId, callId: `${nodeId}-call-${i}`, units: 2 }));

test('many claims of several nodes are renewed together, and only those Redis forgot are made anew', async () => {
  const claims = createClaims(redis, `${stores.redisPrefix}-many`);
  const all = [...held('a', 450), ...held('b', 3)];
  const nowMs = 1_000_000;
  for (const claim of all.slice(2)) await claims.claim(claim.nodeId, claim.callId, claim.units, null, nowMs);
  const asked: string[] = [];
  const forgotten = await claims.keepAll(all, nowMs + 60_000, (some) => {
    asked.push(...some.map((claim) => claim.callId));
    return Promise.resolve(new Set(['a-call-0'])); // the other one ended meanwhile
  });
  expect(forgotten).toBe(2);
  expect(asked.sort()).toEqual(['a-call-0', 'a-call-1']);
  // Longer than the first claims would have lasted.
  expect(await claims.readTotals(['a', 'b'], nowMs + 150_000)).toEqual([449 * 2, 6]);
  expect(await claims.readTotals(['a', 'b'], nowMs + 181_000)).toEqual([0, 0]);
});
