/** A token between nodes brings one channel, whichever replica is asked and however often that one asks. */
import { Redis } from 'ioredis';
import { createTokenBinder, createTokenId } from '../../../src/infra/secrets/bound-tokens';
import { useStores } from '../../stores';

const stores = useStores();
let redis: Redis;
beforeAll(() => void (redis = new Redis(stores.redisUrl)));
afterAll(() => void redis.disconnect());

const now = (): number => 1_000_000_000;
const exp = 1_000_060;

test('the first channel has it, at every replica, and asks again as often as it likes', async () => {
  const [one, two] = [1, 2].map(() => createTokenBinder(redis, stores.redisPrefix, now));
  const token = createTokenId();
  expect(await one!(token, 'node-a leg-1', exp)).toBe(true);
  expect(await two!(token, 'node-a leg-2', exp)).toBe(false);
  expect(await two!(token, 'node-a leg-1', exp)).toBe(true);
  expect(await one!(token, 'node-b leg-1', exp)).toBe(false);
  expect(await one!(createTokenId(), 'node-a leg-2', exp)).toBe(true);
});

test('of many at once one has it, and what is remembered ends behind the token', async () => {
  const bind = createTokenBinder(redis, stores.redisPrefix, now);
  const token = createTokenId();
  const taken = await Promise.all(Array.from({ length: 20 }, (_, i) => bind(token, `leg-${i}`, exp)));
  expect(taken.filter(Boolean)).toHaveLength(1);
  const seconds = await redis.ttl(`${stores.redisPrefix}:token:${token}`);
  expect(seconds).toBeGreaterThan(60);
  expect(seconds).toBeLessThanOrEqual(90);
});

test('while Redis is away a replica still knows what it was shown', async () => {
  const away = { set: () => Promise.reject(new Error('away')), get: () => Promise.reject(new Error('away')) };
  const bind = createTokenBinder(away as never, 'x', now);
  expect(await bind('token', 'leg-1', exp)).toBe(true);
  expect(await bind('token', 'leg-2', exp)).toBe(false);
  expect(await bind('token', 'leg-1', exp)).toBe(true);
});
