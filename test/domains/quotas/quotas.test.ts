/** Holds quotas to their one promise: the last place is given once, whoever asks at once and by whichever replica. */
import { randomUUID } from 'node:crypto';
import { down, up } from '../../../migrations/013_quotas';
import { createEventLog } from '../../../src/domains/events/events';
import { createQuotas, type OpenQuotas } from '../../../src/domains/quotas';
import { QUOTA_NAMES, readDefaults } from '../../../src/domains/quotas/catalogue';
import { createLocalBuckets, createSharedBuckets, takeTokens } from '../../../src/infra/stores/buckets';
import { createDb, type Db } from '../../../src/infra/stores/db';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { createRedis, type Redis } from '../../../src/infra/stores/redis';
import type { Caller } from '../../../src/infra/route';
import { PATIENCE, useStores } from '../../stores';
import { until } from '../../until';

const stores = useStores();
const logger = createLogger('silent', { write: () => undefined });
let domainId: string;
let replicas: Replica[] = [];

interface Replica {
  db: Db;
  redis: Redis;
  quotas: OpenQuotas;
  refused: string[];
}

/** As two replicas have it: connections and memory of their own, and the stores in common. */
async function openReplica(defaults: Record<string, number>, mostStreams = 1000): Promise<Replica> {
  const db = createDb(stores.databaseUrl, 20, PATIENCE);
  const redis = createRedis(stores.redisUrl, logger);
  await redis.connect();
  const refused: string[] = [];
  const prefix = stores.redisPrefix;
  const quotas = createQuotas({
    db,
    log: createEventLog(db, { ring: () => undefined }, logger),
    logger,
    redis,
    prefix,
    buckets: createSharedBuckets({ redis, prefix, now: Date.now }),
    now: Date.now,
    defaults,
    mostStreams,
    countRefusal: (quota) => void refused.push(quota),
  });
  const replica = { db, redis, quotas, refused };
  replicas.push(replica);
  return replica;
}

beforeEach(async () => {
  domainId = randomUUID();
  await stores.db('domains').insert({ id: domainId, name: `d${domainId.slice(0, 8)}.test` });
});
afterEach(async () => {
  for (const { db, redis, quotas } of replicas) {
    await quotas.stop();
    redis.disconnect();
    await db.destroy();
  }
  replicas = [];
});

const count = async (all: readonly Promise<unknown>[]): Promise<{ done: number; codes: string[] }> => {
  const settled = await Promise.allSettled(all);
  const reasons = settled.flatMap((s) => (s.status === 'rejected' ? [s.reason as { code: string }] : []));
  return { done: settled.length - reasons.length, codes: [...new Set(reasons.map((r) => r.code))] };
};

const guest = (grantId: string): Caller => ({
  apiKeyId: grantId,
  scopes: ['grant'],
  domainId,
  grant: { id: grantId, roomId: null, userId: null, afterNumber: 0 },
});

test('forty who ask two replicas at once for the last five places get five', async () => {
  const two = [await openReplica({ rooms: 5 }), await openReplica({ rooms: 5 })];
  const add = ({ db, quotas }: Replica, i: number) =>
    db.transaction(async (trx) => {
      await quotas.take(trx, domainId, { rooms: 1 });
      await trx('rooms').insert({ id: createId(), domain_id: domainId, name: `r${i}` });
    });
  expect(await count(Array.from({ length: 40 }, (_, i) => add(two[i % 2]!, i)))).toEqual({
    done: 5,
    codes: ['quota_exceeded'],
  });
  expect(await stores.db('rooms').where({ domain_id: domainId })).toHaveLength(5);
  const error = await add(two[0]!, 99).catch((e: unknown) => e);
  expect(error).toMatchObject({ status: 429, quota: { quota: 'rooms', limit: 5, used: 5 } });
  await stores.db.raw('delete from rooms where id in (select id from rooms where domain_id = ? limit 1)', [domainId]);
  await add(two[1]!, 100);
});

test('what a process had begun and never finished takes no place', async () => {
  const { db, quotas } = await openReplica({ rooms: 1 });
  const fails = db.transaction(async (trx) => {
    await quotas.take(trx, domainId, { rooms: 1 });
    await trx('rooms').insert({ id: createId(), domain_id: domainId, name: 'lost' });
    throw new Error('it dies here');
  });
  await expect(fails).rejects.toThrow('it dies here');
  await db.transaction((trx) => quotas.take(trx, domainId, { rooms: 1 }));
});

test('two replicas spend one rate, and each its own while Redis is away', async () => {
  const two = [await openReplica({ grantsPerMinute: 10 }), await openReplica({ grantsPerMinute: 10 })];
  const spend = (length: number) =>
    count(Array.from({ length }, (_, i) => two[i % 2]!.quotas.spend(domainId, 'grantsPerMinute')));
  // One a six seconds comes back meanwhile.
  const first = await spend(40);
  expect(first.done).toBeGreaterThanOrEqual(10);
  expect(first.done).toBeLessThanOrEqual(13);
  expect(first.codes).toEqual(['quota_exceeded']);
  for (const { redis } of two) redis.disconnect();
  const away = await spend(60);
  expect(away.done).toBeGreaterThanOrEqual(20);
  expect(away.done).toBeLessThanOrEqual(26);
});

test('a rate of none lets nobody begin', async () => {
  const { quotas } = await openReplica({ callsPerSecond: 0 });
  await expect(quotas.spend(domainId, 'callsPerSecond')).rejects.toMatchObject({ code: 'quota_exceeded' });
});

test('streams are counted over replicas by domain and by grant, and a place given back is free', async () => {
  const limits = { eventStreams: 6, eventStreamsPerGrant: 2 };
  const two = [await openReplica(limits), await openReplica(limits)];
  const take = (id: string, i: number) => two[i % 2]!.quotas.streams.take(guest(id));
  const ofOne = await count(Array.from({ length: 8 }, (_, i) => take('one', i)));
  expect(ofOne).toEqual({ done: 2, codes: ['quota_exceeded'] });
  const places = await Promise.all(['two', 'three'].flatMap((id) => [take(id, 0), take(id, 1)]));
  await expect(take('four', 0)).rejects.toMatchObject({ quota: { quota: 'eventStreams', limit: 6, used: 6 } });
  expect(await two[1]!.quotas.streams.read(domainId)).toEqual({ open: 6, mostByGrant: 2 });
  places[0]!.giveBack();
  places[0]!.giveBack();
  await until('the place is free', () => take('four', 1).catch(() => undefined));
});

test('the places of a replica that died are free after a minute', async () => {
  const { redis, quotas } = await openReplica({ eventStreams: 1 });
  const key = `${stores.redisPrefix}:{streams:${domainId}}`;
  await redis.zadd(key, Date.now() - 1, 'key of-the-dead');
  await quotas.streams.take(guest('heir'));
  await expect(quotas.streams.take(guest('second'))).rejects.toMatchObject({ code: 'quota_exceeded' });
});

test('a process opens no more streams than it may, whoever asks, and says when to come back', async () => {
  const { quotas } = await openReplica({}, 2);
  const admin: Caller = { apiKeyId: randomUUID(), scopes: ['admin'], domainId: null };
  await quotas.streams.take(admin);
  const place = await quotas.streams.take(guest('one'));
  await expect(quotas.streams.take(admin)).rejects.toMatchObject({ code: 'rate_limited', retryAfterMs: 5000 });
  place.giveBack();
  await quotas.streams.take(admin);
});

test('while Redis is away streams are counted here', async () => {
  const { redis, quotas } = await openReplica({ eventStreams: 2 });
  redis.disconnect();
  const taken = await count(Array.from({ length: 5 }, (_, i) => quotas.streams.take(guest(`g${i}`))));
  expect(taken).toEqual({ done: 2, codes: ['quota_exceeded'] });
});

test('each refusal is counted, and told once a minute by all replicas together', async () => {
  const two = [await openReplica({ callsPerSecond: 0, users: 0 }), await openReplica({ callsPerSecond: 0, users: 0 })];
  for (const { quotas } of [...two, ...two]) {
    await quotas.spend(domainId, 'callsPerSecond').catch(() => undefined);
    await quotas.check(domainId, { users: 1 }).catch(() => undefined);
  }
  for (const { quotas } of two) await quotas.stop();
  expect(two.map(({ refused }) => refused.length)).toEqual([4, 4]);
  const told = (await stores.db('events').where({ stream: domainId }).orderBy('number')) as {
    type: string;
    data: object;
  }[];
  expect(told.map(({ type, data }) => ({ type, ...data }))).toEqual(
    expect.arrayContaining([
      { type: 'quota.exceeded', quota: 'callsPerSecond', limit: 0, used: 0 },
      { type: 'quota.exceeded', quota: 'users', limit: 0, used: 0 },
    ]),
  );
  expect(told).toHaveLength(2);
});

test('the sums of users and of recorded bytes follow their rows, whatever changes them', async () => {
  const { db } = stores;
  const sums = async () => {
    const row = (await db('domain_sums').where({ domain_id: domainId }).first()) as
      { users: string; recorded_bytes: string } | undefined;
    return [Number(row?.users ?? 0), Number(row?.recorded_bytes ?? 0)];
  };
  const users = Array.from({ length: 5 }, (_, i) => ({
    id: createId(),
    domain_id: domainId,
    username: `u${i}`,
    ha1: '',
  }));
  await db('users').insert(users);
  await db('users').where({ id: users[0]!.id }).delete();
  await expect(db('users').insert({ ...users[1]!, id: createId() })).rejects.toThrow();
  expect(await sums()).toEqual([4, 0]);
  const recording = createId();
  const kind = { kind: 'call', format: 'wav', origin: 'api', desired: 'stopped', state: 'uploading' };
  await db('recordings').insert({ id: recording, domain_id: domainId, ...kind });
  const part = (number: number, state: string) => ({
    ...{ id: createId(), recording_id: recording, number, node_name: 'n', format: 'wav', path: '', state },
    ...{ bytes: 1000, seen_bytes: 10, requested_at: new Date() },
  });
  const [first, second] = [part(1, 'uploading'), part(2, 'uploading')];
  await db('recording_parts').insert([first, second]);
  expect(await sums()).toEqual([4, 0]);
  await db('recording_parts').where({ recording_id: recording }).update({ state: 'stored' });
  expect(await sums()).toEqual([4, 2000]);
  await db('recording_parts').where({ id: first.id }).update({ state: 'deleted' });
  await db('recording_parts').where({ id: second.id }).update({ state: 'stored', bytes: 700 });
  expect(await sums()).toEqual([4, 700]);
  await db('recording_parts').where({ id: second.id }).delete();
  expect(await sums()).toEqual([4, 0]);
  await db('domains').where({ id: domainId }).delete();
  expect(await sums()).toEqual([0, 0]);
});

test('defaults are set by name, and a name that is none is told', () => {
  expect(readDefaults({ units: 7 })).toMatchObject({ units: 7, relays: 20 });
  expect(Object.keys(readDefaults())).toEqual(QUOTA_NAMES);
  expect(() => readDefaults({ unit: 7 })).toThrow(/there is no quota unit; there are: callsPerSecond, /);
});

test('a bucket gives its burst, then what comes back, and no more after a long rest', () => {
  const limit = { perSecond: 2, burst: 4 };
  let { bucket } = takeTokens(undefined, limit, 4, 0);
  expect(takeTokens(bucket, limit, 1, 100)).toMatchObject({ waitMs: 400 });
  ({ bucket } = takeTokens(bucket, limit, 1, 600));
  expect(bucket.spent).toBeCloseTo(3.8);
  expect(takeTokens(bucket, limit, 0, 1_000_000).bucket.spent).toBe(0);
  expect(takeTokens(bucket, limit, 0, -1_000_000).bucket.spent).toBeCloseTo(3.8); // a clock that jumps back
  // A limit that is raised is there at once; one that is lowered is not waited for longer than it takes to come back.
  expect(takeTokens(bucket, { perSecond: 20, burst: 40 }, 30, 600)).toMatchObject({ waitMs: 0 });
  expect(takeTokens({ spent: 40, atMs: 0 }, limit, 1, 0)).toMatchObject({ waitMs: 500 });
});

test('the script and the rule of one process agree', async () => {
  const { redis } = await openReplica({});
  const shared = createSharedBuckets({ redis, prefix: stores.redisPrefix, now: Date.now });
  const local = createLocalBuckets(() => 0);
  const limit = { perSecond: 0.001, burst: 5 };
  const key = randomUUID();
  for (const step of [2, 2, 2, 'back', 1, 1, 1, 'read'] as const) {
    const answers = await Promise.all(
      [shared, local].map(async (buckets) => {
        if (step === 'back') return buckets.giveBack(key, limit);
        if (step === 'read') return Math.floor(await buckets.read(key, limit));
        const { waitMs, tokens } = await buckets.take(key, limit, step);
        return [waitMs > 0, Math.floor(tokens)];
      }),
    );
    expect([step, answers[0]]).toEqual([step, answers[1]]);
  }
});

test('the migration can be undone, and done again', async () => {
  await down(stores.db);
  expect(await stores.db.schema.hasTable('quotas')).toBe(false);
  await stores.db('users').insert({ id: createId(), domain_id: domainId, username: 'before', ha1: '' });
  await up(stores.db);
  const sums = (await stores.db('domain_sums').where({ domain_id: domainId }).first()) as { users: string };
  expect(Number(sums.users)).toBe(1);
});
