/**
 * Lets one of many replicas do what need not be done by all: a sweep, a schedule. Doing it twice does no harm, so a key in
 * Redis is enough, and all may do it while Redis is away. Two other leases stand in Postgres, for other reasons: a relay
 * (`owned_until`) must never be sent twice, so its owner is a column of the row that each change of it names; a recording's
 * next step (`next_try_at`) is a queue, where any replica takes any due row and an abandoned one becomes due again.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from './redis';

/** Acquires each that is free or its holder's, and makes it longer. ARGV: holder and milliseconds of each. Answers 1 or 0 of each. */
const ACQUIRE = `
local answers = {}
for i, owner in ipairs(redis.call('mget', unpack(KEYS))) do
  local holder = ARGV[2 * i - 1]
  answers[i] = (not owner or owner == holder) and 1 or 0
  if answers[i] == 1 then redis.call('set', KEYS[i], holder, 'px', ARGV[2 * i]) end
end
return answers`;
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
        return await acquireWithOthers(redis, { key, holder, keepMs });
      } catch {
        return whileAway;
      }
    },
    async release() {
      await redis.eval(RELEASE, 1, key, holder).catch(() => undefined);
    },
  };
}

interface Wish {
  key: string;
  holder: string;
  keepMs: number;
}

interface Gathering {
  wishes: Wish[];
  answers: Promise<number[]>;
}

/** What is acquired within this goes together: a replica renews its hold on a hundred nodes each second. */
const GATHER_MS = 50;
const MOST_TOGETHER = 500;
const gatherings = new WeakMap<Redis, Gathering>();

async function acquireWithOthers(redis: Redis, wish: Wish): Promise<boolean> {
  let gathering = gatherings.get(redis);
  const isFull = gathering?.wishes.length === MOST_TOGETHER;
  if (!gathering || isFull || gathering.wishes.some(({ key }) => key === wish.key)) {
    const wishes: Wish[] = [];
    gathering = { wishes, answers: acquireAll(redis, wishes) };
    gatherings.set(redis, gathering);
  }
  const place = gathering.wishes.push(wish) - 1;
  return (await gathering.answers)[place] === 1;
}

async function acquireAll(redis: Redis, wishes: Wish[]): Promise<number[]> {
  await sleep(GATHER_MS);
  if (gatherings.get(redis)?.wishes === wishes) gatherings.delete(redis);
  const keys = wishes.map(({ key }) => key);
  const holders = wishes.flatMap(({ holder, keepMs }) => [holder, keepMs]);
  return (await redis.eval(ACQUIRE, keys.length, ...keys, ...holders)) as number[];
}
