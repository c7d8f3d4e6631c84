/** Counts failures over all replicas in Redis, each once; while Redis is away, each replica by itself. */
import { LRUCache } from 'lru-cache';
import type { Redis } from '../../infra/stores/redis';

/** One thing to count in one place. */
export interface Mark {
  /** What it is counted for. */
  key: string;
  /** What is counted: the same member again is the same failure. */
  member: string;
}

export interface Tally {
  /** @returns for each mark how many there are in the window now */
  count(marks: readonly Mark[], windowMs: number): Promise<number[]>;
  /**
   * Counts a member unless the key has so many already: of any number at once no more than the limit are counted.
   * @returns how many there are with it; undefined where it was not counted
   */
  take(mark: Mark, limit: number, windowMs: number): Promise<number | undefined>;
  giveBack(mark: Mark): Promise<void>;
  /** Forgets, but only after a while. */
  forgetSoon(key: string, afterMs: number): Promise<void>;
  /** How many members a key has that are younger, and whether this is one of them. */
  check(key: string, member: string, windowMs: number): Promise<{ size: number; has: boolean }>;
  /** Adds a member, without being told how many there are; only the newest are kept. */
  note(mark: Mark, windowMs: number): Promise<void>;
  list(key: string, windowMs: number): Promise<string[]>;
  forget(keys: readonly string[]): Promise<void>;
}

/** More than any limit in levels.ts, so that who floods us does not fill Redis. */
const KEPT = 600;
/** Keys that are counted here while Redis is away. */
const KEPT_HERE = 20_000;

/** Redis' own time is taken: no replica's wrong clock makes old of young. ARGV: kept, window, members. */
const ADD = `
local t = redis.call('time')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local counts = {}
for i, key in ipairs(KEYS) do
  redis.call('zremrangebyscore', key, '-inf', now - ARGV[2])
  redis.call('zadd', key, now, ARGV[i + 2])
  redis.call('zremrangebyrank', key, 0, -1 - ARGV[1])
  redis.call('pexpire', key, ARGV[2])
  counts[i] = redis.call('zcard', key)
end
return counts`;

/** ARGV: limit, window, member. What is counted already is counted once, and keeps its place. */
const TAKE = `
local t = redis.call('time')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('zremrangebyscore', KEYS[1], '-inf', now - ARGV[2])
local count = redis.call('zcard', KEYS[1])
if redis.call('zscore', KEYS[1], ARGV[3]) then return count end
if count >= tonumber(ARGV[1]) then return -1 end
redis.call('zadd', KEYS[1], now, ARGV[3])
redis.call('pexpire', KEYS[1], ARGV[2])
return count + 1`;

/** ARGV: window, member. */
const LOOK = `
local t = redis.call('time')
local from = t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1]
local at = redis.call('zscore', KEYS[1], ARGV[2])
return {redis.call('zcount', KEYS[1], from, '+inf'), at and tonumber(at) > from and 1 or 0}`;

/** ARGV: window. */
const LIST = `
local t = redis.call('time')
return redis.call('zrevrangebyscore', KEYS[1], '+inf', t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1])`;

export function createTally(redis: Redis, prefix: string, now: () => number): Tally {
  const here = createTallyHere(now);
  const named = (key: string): string => `${prefix}:guess:${key}`;
  /** What Redis can't be asked is asked here. */
  const either = <T>(there: () => Promise<T>, instead: () => T): Promise<T> => there().catch(() => instead());
  const add = (marks: readonly Mark[], windowMs: number): Promise<number[]> =>
    redis.eval(
      ADD,
      marks.length,
      ...marks.map((mark) => named(mark.key)),
      KEPT,
      windowMs,
      ...marks.map((mark) => mark.member),
    ) as Promise<number[]>;
  return {
    count: (marks, windowMs) =>
      either(
        () => add(marks, windowMs),
        () => here.add(marks, windowMs),
      ),
    take: (mark, limit, windowMs) =>
      either(
        async () => {
          const count = (await redis.eval(TAKE, 1, named(mark.key), limit, windowMs, mark.member)) as number;
          return count < 0 ? undefined : count;
        },
        () => here.take(mark, limit, windowMs),
      ),
    async giveBack({ key, member }) {
      here.giveBack(key, member);
      await redis.zrem(named(key), member).catch(() => undefined);
    },
    async forgetSoon(key, afterMs) {
      here.forget(key);
      await redis.pexpire(named(key), afterMs).catch(() => undefined);
    },
    check: (key, member, windowMs) =>
      either(
        async () => {
          const [size, has] = (await redis.eval(LOOK, 1, named(key), windowMs, member)) as [number, number];
          return { size, has: has === 1 };
        },
        () => ({ size: here.list(key, windowMs).length, has: here.list(key, windowMs).includes(member) }),
      ),
    note: (mark, windowMs) =>
      either(
        async () => void (await add([mark], windowMs)),
        () => void here.add([mark], windowMs),
      ),
    list: (key, windowMs) =>
      either(
        () => redis.eval(LIST, 1, named(key), windowMs) as Promise<string[]>,
        () => here.list(key, windowMs),
      ),
    async forget(keys) {
      keys.forEach(here.forget);
      if (keys.length > 0) await redis.del(...keys.map(named)).catch(() => undefined);
    },
  };
}

/** The same in this process. */
function createTallyHere(now: () => number) {
  const counted = new LRUCache<string, Map<string, number>>({ max: KEPT_HERE });
  const livingOf = (key: string, windowMs: number): Map<string, number> => {
    const from = now() - windowMs;
    return new Map([...(counted.get(key) ?? [])].filter(([, atMs]) => atMs > from));
  };
  const add = (marks: readonly Mark[], windowMs: number): number[] =>
    marks.map(({ key, member }) => {
      const living = livingOf(key, windowMs);
      living.delete(member);
      living.set(member, now());
      if (living.size > KEPT) living.delete(living.keys().next().value!);
      counted.set(key, living);
      return living.size;
    });
  return {
    add,
    take(mark: Mark, limit: number, windowMs: number): number | undefined {
      const living = livingOf(mark.key, windowMs);
      if (living.has(mark.member)) return living.size;
      return living.size >= limit ? undefined : add([mark], windowMs)[0];
    },
    giveBack: (key: string, member: string): void => void counted.get(key)?.delete(member),
    list: (key: string, windowMs: number): string[] => [...livingOf(key, windowMs).keys()],
    forget: (key: string): void => void counted.delete(key),
  };
}
