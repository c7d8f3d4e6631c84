/** Where names of ours lead: asked for at every check, so kept for a minute, and longer while nobody answers. */
import { LRUCache } from 'lru-cache';
import type { Resolve } from '../targets/address-rules';

const KEPT_MS = 60_000;
/** Nodes come and go. */
const MOST_NAMES = 5000;

export function createOwnNames(resolve: Resolve, now: () => number): Resolve {
  const known = new LRUCache<string, { addresses: Promise<string[]>; atMs: number }>({ max: MOST_NAMES });
  return async (host) => {
    const last = known.get(host);
    if (last && now() - last.atMs < KEPT_MS) return last.addresses;
    const addresses = resolve(host).catch((error: unknown) => {
      if (last) return last.addresses;
      known.delete(host);
      throw error;
    });
    known.set(host, { addresses, atMs: now() });
    return addresses;
  };
}
