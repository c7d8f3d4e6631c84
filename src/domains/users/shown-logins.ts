/**
 * Remembers at which node each login was shown lately. A node that was broken into says what it likes of registrations and
 * of who calls: it is believed only of those whose password somebody has just proved there (Switchyard checks it itself).
 */
import { LRUCache } from 'lru-cache';
import type { Redis } from '../../infra/stores/redis';

/** A phone proves it again with each REGISTER, which `sip-force-expires-max` asks for within the hour. */
const KEPT_SECONDS = 3900;
/** One that was written within this time is not written again; Redis may have been emptied in between. */
const FRESH_MS = 10_000;
const MOST_REMEMBERED = 100_000;
/** Another replica may have checked the password a moment ago, and have much to do: a phone is not lost for that. */
const PAUSES_MS = [150, 350, 1000, 3000];
/** A caller waits for the answer. */
const CALLER_PAUSES = 2;

export interface ShownLogins {
  note(nodeId: string, username: string, domain: string): void;
  /** When it was last shown there, in milliseconds since 1970; undefined where it was not, or that can't be known. */
  shownAtMs(nodeId: string, username: string, domain: string): Promise<number | undefined>;
  /** One look. True also where it can't be known: with Redis away phones call on. */
  isShown(nodeId: string, username: string, domain: string): Promise<boolean>;
  /** The same, with patience: what another replica has seen a moment ago may still be on its way. */
  wasShown(nodeId: string, username: string, domain: string, isCaller?: boolean): Promise<boolean>;
}

/**
 * @param o.now milliseconds since 1970
 * @param o.sleep waits for so many milliseconds
 */
export function createShownLogins(o: {
  redis: Pick<Redis, 'set' | 'exists' | 'pttl'>;
  prefix: string;
  now: () => number;
  sleep: (ms: number) => Promise<unknown>;
}): ShownLogins {
  const notedAtMs = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  const keyOf = (nodeId: string, username: string, domain: string): string =>
    `${o.prefix}:shown:${nodeId}:${username}@${domain.toLowerCase()}`;
  const isFresh = (key: string): boolean => o.now() - (notedAtMs.get(key) ?? -Infinity) < FRESH_MS;
  const isKept = async (key: string): Promise<boolean> => (await o.redis.exists(key).catch(() => 1)) === 1;
  return {
    note(nodeId, username, domain) {
      const key = keyOf(nodeId, username, domain);
      if (isFresh(key)) return;
      notedAtMs.set(key, o.now());
      o.redis.set(key, '1', 'EX', KEPT_SECONDS).catch(() => notedAtMs.delete(key));
    },
    async shownAtMs(nodeId, username, domain) {
      const leftMs = await o.redis.pttl(keyOf(nodeId, username, domain)).catch(() => -1);
      return leftMs < 0 ? undefined : o.now() - (KEPT_SECONDS * 1000 - leftMs);
    },
    async isShown(nodeId, username, domain) {
      const key = keyOf(nodeId, username, domain);
      return isFresh(key) || (await isKept(key));
    },
    async wasShown(nodeId, username, domain, isCaller = false) {
      const key = keyOf(nodeId, username, domain);
      if (isFresh(key) || (await isKept(key))) return true;
      for (const pauseMs of isCaller ? PAUSES_MS.slice(0, CALLER_PAUSES) : PAUSES_MS) {
        await o.sleep(pauseMs);
        if (await isKept(key)) return true;
      }
      return false;
    },
  };
}
