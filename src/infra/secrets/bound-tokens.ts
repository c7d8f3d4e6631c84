/** Binds a token to whoever shows it first: shown again by somebody else it opens nothing. */
import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Redis } from '../stores/redis';

/** More than are shown in the seconds for which one is good; past this the oldest is forgotten. */
const REMEMBERED = 20_000;
/** A replica's clock may be behind the one that made the token. */
const MARGIN_SECONDS = 30;

/** What a token is called by, so that it can be bound. */
export const createTokenId = (): string => randomBytes(9).toString('base64url');

/** @param holder who shows it @returns whether it is theirs: they were the first, or ask again */
export type BindToken = (tokenId: string, holder: string, expSeconds: number) => Promise<boolean>;

/**
 * All replicas ask Redis. While it is away each knows only of what was shown to itself: a token that another replica has
 * seen can then be shown here once more for the rest of its minute, which is better than that no call crosses the pool.
 * @param now milliseconds since 1970
 */
export function createTokenBinder(redis: Pick<Redis, 'set' | 'get'>, prefix: string, now: () => number): BindToken {
  const seen = new LRUCache<string, string>({ max: REMEMBERED });
  return async (tokenId, holder, expSeconds) => {
    const known = seen.get(tokenId);
    if (known !== undefined && known !== holder) return false;
    const key = `${prefix}:token:${tokenId}`;
    const keepSeconds = Math.max(1, Math.ceil(expSeconds - now() / 1000) + MARGIN_SECONDS);
    try {
      const isFirst = (await redis.set(key, holder, 'EX', keepSeconds, 'NX')) === 'OK';
      if (!isFirst && (await redis.get(key)) !== holder) return false;
    } catch {
      // Redis is away: what this replica has seen must do.
    }
    // Another question may have been asked here in the meantime.
    const first = seen.get(tokenId) ?? holder;
    seen.set(tokenId, first);
    return first === holder;
  };
}
