/** Counts open event streams: of each domain and grant over all replicas, and of this process, which has only so many sockets. */
import { SwitchyardError } from '../../errors';
import { createId } from '../../infra/ids';
import type { Redis } from '../../infra/stores/redis';
import type { Caller } from '../../infra/route';
import type { Quotas } from './quotas';
import { quotaExceeded, type Refusal } from './refusals';

/** A stream's place. Giving it back twice is no fault. */
export interface StreamPlace {
  giveBack(): void;
}

export interface StreamPlaces {
  /** Before the stream is opened. @throws quota_exceeded, rate_limited where the key or this process is full */
  take(caller: Caller): Promise<StreamPlace>;
  /** Open by the domain now, and the most by one of its grants. */
  read(domainId: string): Promise<{ open: number; mostByGrant: number }>;
  stop(): void;
}

export interface StreamPlacesOptions {
  redis: Redis;
  prefix: string;
  quotas: Pick<Quotas, 'limitOf' | 'refuse'>;
  /** Most in this process, whoever has them. */
  mostHere: number;
  /** Most of one API key in this process. */
  mostByKey?: number;
}

/** A place nobody renews is free after this: its replica has died. */
const PLACE_MS = 60_000;
const RENEW_MS = 15_000;
const MOST_BY_KEY = 200;

/**
 * KEYS: the places of the domain, those of the holder. ARGV: the place, its time in ms, most of the domain, most of the
 * holder (-1: any). Answers {0 taken, 1 the domain is full, 2 the holder is; how many there are}.
 */
const TAKE = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(KEYS) do redis.call('zremrangebyscore', key, '-inf', now) end
for i, key in ipairs(KEYS) do
  local most = tonumber(ARGV[2 + i])
  local open = redis.call('zcard', key)
  if most >= 0 and open >= most then return {i, open} end
end
for _, key in ipairs(KEYS) do
  redis.call('zadd', key, now + ARGV[2], ARGV[1])
  redis.call('pexpire', key, ARGV[2])
end
return {0, redis.call('zcard', KEYS[1])}`;

/** ARGV: the time in ms, then the places. Also brings back those that Redis has lost. */
const RENEW = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call('zadd', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('pexpire', KEYS[1], ARGV[1])
return 1`;

/** Answers the places that are still held. */
const READ = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('zremrangebyscore', KEYS[1], '-inf', now)
return redis.call('zrange', KEYS[1], 0, -1)`;

interface Open {
  id: string;
  domainId: string | null;
  holderId: string;
}

/** @returns places that are counted until stop() */
export function createStreamPlaces(o: StreamPlacesOptions): StreamPlaces {
  const { redis, prefix, quotas, mostHere, mostByKey = MOST_BY_KEY } = o;
  const open = new Map<string, Open>();
  /** How many of each holder and domain are open here. */
  const counts = new Map<string, number>();
  const count = (name: string, change: number): void => {
    const now = (counts.get(name) ?? 0) + change;
    if (now > 0) counts.set(name, now);
    else counts.delete(name);
  };
  const domainKey = (domainId: string): string => `${prefix}:{streams:${domainId}}`;
  const holderKey = (domainId: string, holderId: string): string => `${domainKey(domainId)}:${holderId}`;

  async function askRedis(place: Open, domainId: string, mostOfDomain: number, mostOfHolder: number) {
    const keys = [domainKey(domainId), holderKey(domainId, place.holderId)];
    const asked = [`${place.holderId} ${place.id}`, PLACE_MS, mostOfDomain, mostOfHolder];
    return redis.eval(TAKE, 2, ...keys, ...asked).then(
      (said) => said as [number, number],
      () => undefined,
    );
  }

  /** Where Redis is away, what is open here is all that is known. */
  function askHere(place: Open, domainId: string, mostOfDomain: number, mostOfHolder: number): [number, number] {
    const ofDomain = counts.get(domainId) ?? 0;
    const ofHolder = counts.get(place.holderId) ?? 0;
    if (ofDomain > mostOfDomain) return [1, ofDomain - 1];
    if (mostOfHolder >= 0 && ofHolder > mostOfHolder) return [2, ofHolder - 1];
    return [0, ofDomain];
  }

  async function hold(place: Open, isGrant: boolean): Promise<void> {
    const { domainId } = place;
    if (domainId === null) return;
    const mostOfDomain = await quotas.limitOf(domainId, 'eventStreams');
    const mostOfHolder = isGrant ? await quotas.limitOf(domainId, 'eventStreamsPerGrant') : -1;
    const [full, used] =
      (await askRedis(place, domainId, mostOfDomain, mostOfHolder)) ??
      askHere(place, domainId, mostOfDomain, mostOfHolder);
    if (full === 0) return;
    const refusal: Refusal =
      full === 1
        ? { quota: 'eventStreams', limit: mostOfDomain, used }
        : { quota: 'eventStreamsPerGrant', limit: mostOfHolder, used };
    quotas.refuse(domainId, refusal);
    throw quotaExceeded(refusal);
  }

  function letGo(place: Open): void {
    if (!open.delete(place.id)) return;
    count(place.holderId, -1);
    if (place.domainId === null) return;
    count(place.domainId, -1);
    const member = `${place.holderId} ${place.id}`;
    for (const key of [domainKey(place.domainId), holderKey(place.domainId, place.holderId)]) {
      redis.zrem(key, member).catch(() => undefined); // else it ends by its time
    }
  }

  function renew(): void {
    const members = new Map<string, string[]>();
    for (const { id, domainId, holderId } of open.values()) {
      if (domainId === null) continue;
      for (const key of [domainKey(domainId), holderKey(domainId, holderId)]) {
        members.set(key, [...(members.get(key) ?? []), `${holderId} ${id}`]);
      }
    }
    for (const [key, held] of members) redis.eval(RENEW, 1, key, PLACE_MS, ...held).catch(() => undefined);
  }
  const renewing = setInterval(renew, RENEW_MS);

  return {
    async take(caller) {
      const isGrant = caller.grant !== undefined;
      if (open.size >= mostHere) {
        throw new SwitchyardError(
          'rate_limited',
          'This replica has reached its maximum of event streams (EVENT_STREAMS_MAX).',
          {
            retryAfterMs: 5000,
          },
        );
      }
      if (!isGrant && (counts.get(caller.apiKeyId) ?? 0) >= mostByKey) {
        throw new SwitchyardError('rate_limited', 'This key has too many event streams open.', { retryAfterMs: 5000 });
      }
      const place: Open = { id: createId(), domainId: caller.domainId, holderId: caller.apiKeyId };
      // Counted before it is asked for, so that those who ask in the meantime see it.
      open.set(place.id, place);
      count(place.holderId, 1);
      if (place.domainId !== null) count(place.domainId, 1);
      try {
        await hold(place, isGrant);
      } catch (error) {
        letGo(place);
        throw error;
      }
      return { giveBack: () => letGo(place) };
    },
    async read(domainId) {
      const held = await redis.eval(READ, 1, domainKey(domainId)).then(
        (said) => said as string[],
        () => [...open.values()].filter((p) => p.domainId === domainId).map((p) => `${p.holderId} ${p.id}`),
      );
      const byHolder = new Map<string, number>();
      for (const member of held) {
        const holder = member.split(' ', 1)[0]!;
        byHolder.set(holder, (byHolder.get(holder) ?? 0) + 1);
      }
      return { open: held.length, mostByGrant: Math.max(0, ...byHolder.values()) };
    },
    stop() {
      clearInterval(renewing);
      for (const place of [...open.values()]) letGo(place);
    },
  };
}

/** For parts that are tried by themselves. @internal */
export const UNCOUNTED_STREAMS: Pick<StreamPlaces, 'take'> = {
  take: () => Promise.resolve({ giveBack: () => undefined }),
};
