/**
 * Lets one of many replicas do what need not be done by all: a sweep, a schedule. Doing it twice does no harm, so a key in
 * Redis is enough, and all may do it while Redis is away. Two other leases stand in Postgres, for other reasons: a relay
 * (`owned_until`) must never be sent twice, so its owner is a column of the row that each change of it names; a recording's
 * next step (`next_try_at`) is a queue, where any replica takes any due row and an abandoned one becomes due again.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from './redis';

/** Takes the lease where it is free or ours, and makes it longer. */
const ACQUIRE = `
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1`;
const RELEASE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`;

export interface LeaderLease {
  /** @returns whether it is ours now; what `whileAway` says, while Redis is away */
  acquire(whileAway?: boolean): Promise<boolean>;
  release(): Promise<void>;
}

/**
 * @param keepMs how long it stays ours without being acquired again: another replica waits that long for a dead one
 * @param holder who takes it; somebody new each time where it is left out
 */
export function createLeaderLease(
  redis: Redis,
  key: string,
  keepMs: number,
  holder: string = randomUUID(),
): LeaderLease {
  return {
    async acquire(whileAway = true) {
      try {
        return (await redis.eval(ACQUIRE, 1, key, holder, keepMs)) === 1;
      } catch {
        return whileAway;
      }
    },
    async release() {
      await redis.eval(RELEASE, 1, key, holder).catch(() => undefined);
    },
  };
}
