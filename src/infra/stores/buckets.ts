/** Token buckets that all replicas share: in Redis by one script, and in this process for as long as Redis is away. */
import { LRUCache } from 'lru-cache';
import type { Redis } from './redis';
import { withDeadline } from '../flow/deadline';

export interface BucketLimit {
  /** Tokens that come back each second; more than none. */
  perSecond: number;
  /** What may be spent at once; at least one. */
  burst: number;
}

export interface Taken {
  /** How long until there are enough; 0 where they were taken. */
  waitMs: number;
  /** What is left, with fractions. */
  tokens: number;
}

export interface TokenBuckets {
  /** Takes `count` tokens, or none where there are fewer. */
  take(key: string, limit: BucketLimit, count?: number): Promise<Taken>;
  /** Puts a token back that should not have been spent. */
  giveBack(key: string, limit: BucketLimit): Promise<void>;
  /** What is left now; nothing is taken. */
  read(key: string, limit: BucketLimit): Promise<number>;
}

/** Kept as what is spent, not as what is left: where a limit is raised, all of it is there at once. */
interface Bucket {
  spent: number;
  atMs: number;
}

/**
 * The one rule of both kinds. @param count negative puts back, 0 only looks
 * @returns the bucket afterwards, and how long to wait where there were too few
 */
export function takeTokens(
  bucket: Bucket | undefined,
  limit: BucketLimit,
  count: number,
  nowMs: number,
): { bucket: Bucket; waitMs: number } {
  const backSince = bucket ? (Math.max(0, nowMs - bucket.atMs) / 1000) * limit.perSecond : 0;
  const spent = Math.min(limit.burst, Math.max(0, (bucket?.spent ?? 0) - backSince));
  if (count > 0 && spent + count > limit.burst) {
    const waitMs = Math.ceil(((spent + count - limit.burst) / limit.perSecond) * 1000);
    return { bucket: { spent, atMs: nowMs }, waitMs };
  }
  return { bucket: { spent: Math.max(0, spent + count), atMs: nowMs }, waitMs: 0 };
}

/** Buckets of this process only. The longest unused are forgotten first. */
export function createLocalBuckets(now: () => number, maxKeys = 20_000): TokenBuckets {
  const buckets = new LRUCache<string, Bucket>({ max: maxKeys });
  const use = (key: string, limit: BucketLimit, count: number): Taken => {
    const { bucket, waitMs } = takeTokens(buckets.get(key), limit, count, now());
    buckets.set(key, bucket);
    return { waitMs, tokens: limit.burst - bucket.spent };
  };
  return {
    take: (key, limit, count = 1) => Promise.resolve(use(key, limit, count)),
    giveBack(key, limit) {
      use(key, limit, -1);
      return Promise.resolve();
    },
    read: (key, limit) => Promise.resolve(use(key, limit, 0).tokens),
  };
}

/**
 * takeTokens() as a script, by Redis's own clock: replicas whose clocks differ share one bucket all the same.
 * ARGV: tokens a second, burst, count. Answers {milliseconds to wait, tokens left}.
 */
const TAKE = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rate, burst, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('hmget', KEYS[1], 'spent', 'at')
local spent = 0
if held[1] then
  spent = tonumber(held[1]) - math.max(0, now - tonumber(held[2])) / 1000 * rate
  spent = math.min(burst, math.max(0, spent))
end
local wait = 0
if count > 0 and spent + count > burst then
  wait = math.ceil((spent + count - burst) / rate * 1000)
else
  spent = math.max(0, spent + count)
end
redis.call('hset', KEYS[1], 'spent', tostring(spent), 'at', string.format('%.0f', now))
redis.call('pexpire', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return {wait, tostring(burst - spent)}`;

/** A Redis that answers later than this is as good as away: whoever asks for a limit waits for something else. */
const PATIENCE_MS = 500;
/** How long it is then not asked again. */
const AWAY_MS = 1000;

export interface SharedBucketsOptions {
  redis: Redis;
  prefix: string;
  now: () => number;
}

/** While Redis is away every replica counts by itself, with the same limits. */
export function createSharedBuckets(o: SharedBucketsOptions): TokenBuckets {
  const local = createLocalBuckets(o.now);
  let awayUntilMs = -Infinity;

  async function ask(key: string, limit: BucketLimit, count: number): Promise<Taken | undefined> {
    if (o.redis.status !== 'ready' || o.now() < awayUntilMs) return undefined;
    const name = `${o.prefix}:bucket:${key}`;
    const answer = o.redis.eval(TAKE, 1, name, limit.perSecond, limit.burst, count).then(
      (said) => said as [number, string],
      () => undefined,
    );
    const said = await withDeadline(answer, PATIENCE_MS, () => undefined);
    if (said) return { waitMs: said[0], tokens: Number(said[1]) };
    awayUntilMs = o.now() + AWAY_MS;
    return undefined;
  }

  return {
    take: async (key, limit, count = 1) => (await ask(key, limit, count)) ?? local.take(key, limit, count),
    async giveBack(key, limit) {
      if (!(await ask(key, limit, -1))) await local.giveBack(key, limit);
    },
    read: async (key, limit) => (await ask(key, limit, 0))?.tokens ?? local.read(key, limit),
  };
}
