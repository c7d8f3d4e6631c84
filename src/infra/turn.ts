/** Lets one of many replicas do what need not be done by all: a sweep, a schedule. Doing it twice does no harm. */
import { randomUUID } from 'node:crypto';
import type { Redis } from './redis';

/** Takes the turn where it is free or ours, and makes it longer. */
const TAKE = `
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1`;
const GIVE_UP = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`;

export interface Turn {
  /** @returns whether it is ours now; always, while Redis is away */
  take(): Promise<boolean>;
  giveUp(): Promise<void>;
}

/** @param keepMs how long it stays ours without being taken again: another replica waits that long for a dead one */
export function createTurn(redis: Redis, key: string, keepMs: number): Turn {
  const id = randomUUID();
  return {
    async take() {
      try {
        return (await redis.eval(TAKE, 1, key, id, keepMs)) === 1;
      } catch {
        return true;
      }
    },
    async giveUp() {
      await redis.eval(GIVE_UP, 1, key, id).catch(() => undefined);
    },
  };
}
