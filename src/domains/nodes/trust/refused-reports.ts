/** Counts what nodes report and is not believed, and writes it into the log once a minute for each node: one that is broken into must not fill the disk. */
import { LRUCache } from 'lru-cache';
import type { Logger } from '../../../infra/logger';
import type { RefusedReport } from '../../../infra/metrics';

/** Told wherever a node speaks of what is not its own. @param details ids only: they go into the log */
export type RefuseReport = (
  node: { id: string; name: string },
  about: RefusedReport,
  details?: Record<string, unknown>,
) => void;

const LOGGED_EVERY_MS = 60_000;
/** More nodes than a pool has; past this the longest silent one is forgotten. */
const MOST_NODES = 10_000;

/** @param o.now milliseconds since 1970 */
export function createRefusedReports(o: {
  logger: Logger;
  count: (about: RefusedReport) => void;
  now: () => number;
}): RefuseReport {
  const nodes = new LRUCache<string, { loggedAtMs: number; unsaid: number }>({ max: MOST_NODES });
  return (node, about, details = {}) => {
    o.count(about);
    const nowMs = o.now();
    const known = nodes.get(node.id);
    if (known && nowMs - known.loggedAtMs < LOGGED_EVERY_MS) {
      known.unsaid += 1;
      return;
    }
    nodes.set(node.id, { loggedAtMs: nowMs, unsaid: 0 });
    o.logger.warn(
      { node: node.name, about, ...details, unsaid: known?.unsaid ?? 0 },
      'a node reported what is not its own, and is not believed',
    );
  };
}
