/** Leases are one holder's each, whoever takes them in the same moment, and are taken in few commands. */
import { Redis } from 'ioredis';
import { createLeaderLease } from '../../../src/infra/stores/leader-lease';
import { useStores } from '../../stores';

const stores = useStores();
const connections: Redis[] = [];
const connect = (): Redis => {
  const redis = new Redis(stores.redisUrl, { maxRetriesPerRequest: 0, enableOfflineQueue: true });
  connections.push(redis);
  return redis;
};
afterAll(() => connections.forEach((redis) => redis.disconnect()));

const key = (name: string): string => `${stores.redisPrefix}:lease:${name}`;

test('each of many leases is held by one of two replicas that take them at once, and the other gets what is given up', async () => {
  const replicas = [connect(), connect()];
  const leases = replicas.map((redis, i) =>
    Array.from({ length: 120 }, (_, n) => createLeaderLease(redis, key(`many-${n}`), 5000, `replica-${i}`)),
  );
  const [first, second] = await Promise.all(leases.map((some) => Promise.all(some.map((lease) => lease.acquire()))));
  first!.forEach((isOurs, n) => expect(isOurs).toBe(!second![n]));
  const again = await Promise.all(leases[0]!.map((lease) => lease.acquire()));
  expect(again).toEqual(first);
  const mine = first!.indexOf(true);
  if (mine < 0) return;
  await leases[0]![mine]!.release();
  expect(await leases[1]![mine]!.acquire()).toBe(true);
});

test('two holders at one connection do not both get the same lease', async () => {
  const redis = connect();
  const holders = ['a', 'b', 'c'].map((holder) => createLeaderLease(redis, key('same'), 5000, holder));
  const taken = await Promise.all(holders.map((lease) => lease.acquire()));
  expect(taken.filter((isOurs) => isOurs)).toHaveLength(1);
});

test('while Redis is away a lease is as its holder says', async () => {
  const redis = connect();
  await redis.ping();
  redis.disconnect();
  const lease = createLeaderLease(redis, key('away'), 5000);
  expect([await lease.acquire(true), await lease.acquire(false)]).toEqual([true, false]);
});
