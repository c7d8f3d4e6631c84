/** Brings a node's effective capacity up to date with its reports; the replica that handles its events does it. */
import type { Db } from '../../../infra/stores/db';
import { updateEffectiveCapacity } from './effective-capacity';
import type { Claims } from './claims';
import { findNode, saveEffectiveUnits } from '../nodes.store';

/** Often enough for a capacity that moves in half a minute, and cheap for a thousand nodes. */
const EVERY_MS = 10_000;

export interface CapacityFollower {
  /** Takes in a report; most are only looked at for their time. While Redis is away nothing changes. */
  takeReport(nodeId: string, idleCpuPercent: number): Promise<void>;
}

/** @param o.now milliseconds since 1970 @param o.mostUnits no node comes to carry more, whatever it reports */
export function followEffectiveCapacity(o: {
  db: Db;
  claims: Pick<Claims, 'readTotals'>;
  now: () => number;
  mostUnits?: number;
}): CapacityFollower {
  const calibratedAtMs = new Map<string, number>();
  return {
    async takeReport(nodeId, idleCpuPercent) {
      const nowMs = o.now();
      const before = calibratedAtMs.get(nodeId);
      if (before !== undefined && nowMs - before < EVERY_MS) return;
      calibratedAtMs.set(nodeId, nowMs);
      if (before === undefined) return; // the first says nothing of the time it stands for
      const totals = await o.claims.readTotals([nodeId], nowMs).catch(() => undefined);
      if (!totals) return;
      const node = await findNode(o.db, nodeId);
      if (!node) {
        calibratedAtMs.delete(nodeId);
        return;
      }
      const effectiveUnits = updateEffectiveCapacity({
        nominalUnits: Number(node.capacity_units),
        effectiveUnits: node.effective_units === null ? null : Number(node.effective_units),
        claimedUnits: totals[0] ?? 0,
        idleCpuPercent,
        elapsedMs: Math.min(nowMs - before, 2 * EVERY_MS),
      });
      await saveEffectiveUnits(o.db, nodeId, Math.min(effectiveUnits, o.mostUnits ?? Infinity));
    },
  };
}
