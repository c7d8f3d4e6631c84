/** Bounds the call records that belong to no call of ours: a node may send some, as for a channel that was refused at once, and must not fill the database with them. */
import { LRUCache } from 'lru-cache';

/** One window's worth for each node, at each replica. */
export interface StrayBudget {
  /** @returns whether this record may still be kept; it is counted where it may */
  take(nodeId: string, sizeBytes: number): boolean;
}

const WINDOW_MS = 3_600_000;
const MOST_IN_WINDOW = 100;
/** mod_json_cdr writes 10 to 30 kB of a channel that did nothing much. */
const MOST_BYTES = 65_536;
/** More nodes than a pool has; past this the one whose window began first is forgotten. */
const MOST_NODES = 10_000;

/** @param nowMs milliseconds of any clock that goes forward only */
export function createStrayBudget(nowMs: () => number): StrayBudget {
  const windows = new LRUCache<string, { sinceMs: number; taken: number }>({ max: MOST_NODES });

  function windowOf(nodeId: string): { taken: number } {
    const at = nowMs();
    const known = windows.get(nodeId);
    if (known && at - known.sinceMs < WINDOW_MS) return known;
    const fresh = { sinceMs: at, taken: 0 };
    windows.set(nodeId, fresh);
    return fresh;
  }

  return {
    take: (nodeId, sizeBytes) => {
      const window = windowOf(nodeId);
      if (sizeBytes > MOST_BYTES || window.taken >= MOST_IN_WINDOW) return false;
      window.taken += 1;
      return true;
    },
  };
}
