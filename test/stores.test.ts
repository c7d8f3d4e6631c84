/** What every other service test stands on: real stores, fresh for each file. */
import { Redis } from 'ioredis';
import { useStores } from './stores';

const stores = useStores();

test('a test file gets a migrated database of its own', async () => {
  expect(await stores.db('domains').select()).toEqual([]);
  const { rows } = await stores.db.raw<{ rows: { name: string }[] }>('select current_database() as name');
  expect(rows[0]?.name).toMatch(/^t_[0-9a-f]{12}$/);
});

test('Redis answers, and keys can be kept apart by the prefix', async () => {
  const redis = new Redis(stores.redisUrl);
  await redis.set(`${stores.redisPrefix}:x`, '1');
  expect(await redis.get(`${stores.redisPrefix}:x`)).toBe('1');
  redis.disconnect();
});
