/** Says in words which store does not work and why, with its address and without its password. */
import type { Redis } from './redis';

/** `host:port` of a store's URL, and nothing of its password. */
export function addressOf(url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return `${host || 'a local socket'}${pathname.length > 1 ? pathname : ''}`;
  } catch {
    return 'an unreadable address';
  }
}

const REFUSALS = /^(WRONGPASS|NOAUTH|NOPERM)|invalid password/i;

/** Redis is there and lets us do nothing: that does not pass by waiting. */
const isRefusal = (fault: Error | undefined): boolean => fault !== undefined && REFUSALS.test(fault.message);

/** Of what Redis says only its first words: the rest may repeat a command. */
const firstWords = (fault: unknown): string => (fault as Error).message.split(/[.:]/, 1)[0]!.slice(0, 80);

/** @throws Error in words where Redis refuses us @returns whether it could be connected to */
export async function connectRedis(redis: Redis, url: string): Promise<boolean> {
  let fault: Error | undefined;
  const note = (error: Error): void => void (fault ??= error);
  redis.on('error', note);
  const isThere = await redis.connect().then(
    () => true,
    () => false,
  );
  redis.off('error', note);
  if (!isThere && isRefusal(fault)) {
    throw new Error(
      `Redis at ${addressOf(url)} rejects Switchyard's login (${firstWords(fault)}): correct the user and password in REDIS_URL.`,
    );
  }
  return isThere;
}

/** @returns what is wrong, where nothing can be written: Redis is away, full, or a replica that only reads */
export async function findRedisFault(redis: Redis, prefix: string): Promise<string | undefined> {
  if (redis.status !== 'ready') return 'Redis is unavailable: no call can be placed.';
  try {
    await redis.set(`${prefix}:can-be-written`, '1', 'PX', 60_000);
    return undefined;
  } catch (error) {
    const said = firstWords(error);
    if (said.startsWith('READONLY')) return 'Redis is read-only (READONLY): set REDIS_URL to the primary.';
    if (said.startsWith('OOM')) return 'Redis is full (OOM): give it more maxmemory. No call can be placed.';
    if (said.startsWith('MISCONF')) return "Redis can't save to its disk (MISCONF) and rejects writes until it can.";
    return `Nothing can be written to Redis (${said}).`;
  }
}

/** @returns what is wrong, where Redis may throw away what is claimed; undefined also where it does not say */
export async function findEvictionFault(redis: Redis): Promise<string | undefined> {
  const info = await redis.info('memory').catch(() => '');
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  return policy === undefined || policy === 'noeviction'
    ? undefined
    : `Redis may evict claims and waiting calls (maxmemory-policy ${policy}): set it to noeviction.`;
}

/** Gives a fault of Postgres at the start its address; what it is recognised by stays. */
export function nameStartFault(error: unknown, url: string): unknown {
  if (!(error instanceof Error)) return error;
  const { name, code } = error as Error & { code?: unknown };
  const inner =
    error instanceof AggregateError ? String((error.errors[0] as Error | undefined)?.message) : error.message;
  const named = new Error(`Postgres at ${addressOf(url)} (DATABASE_URL): ${inner}`, { cause: error });
  return Object.assign(named, { name, ...(code === undefined ? {} : { code }) });
}
