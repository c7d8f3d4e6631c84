/** Keeps a short-lived snapshot of the pool, since reading a thousand nodes for every call would be most of its cost. */
import type { Db } from '../../../infra/stores/db';
import type { Claims } from '../capacity/claims';
import { listPoolRows, type PoolRow } from '../nodes.store';
import { updateSaturation, type NodeView, type Saturation } from '../selection/policies';

/** A snapshot this old is taken again, beside whoever reads it. */
const REFRESH_MS = 200;
/** Nobody chooses by one that is older: the claim's script and the node's row are asked again anyway, but it should be near. */
const OLDEST_MS = 1000;

export interface PoolSnapshots {
  /**
   * All nodes as they were a moment ago, with what was reserved here since. Who comes once a second or more often never
   * waits for it.
   */
  read(): Promise<readonly NodeView[]>;
  /** As they are now, without expired claims. */
  readExactly(): Promise<readonly NodeView[]>;
  /** Counts units in until the next reading sees them; negative ones give them back. */
  reserve(nodeId: string, units: number): void;
}

/** The snapshot of one node, before it is known whether it rests. */
export function viewNode(row: PoolRow, claimedUnits: number): NodeView {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    zone: row.zone,
    capacityUnits: Number(row.effective_units ?? row.capacity_units),
    claimedUnits,
    sessionCount: row.session_count,
    maxSessions: row.max_sessions,
    idleCpuPercent: Number(row.idle_cpu_percent),
    reportedAtMs: row.reported_at?.getTime() ?? null,
    unhealthyReason: row.unhealthy_reason,
    missingModules: row.missing_modules,
  };
}

export function createPoolSnapshots(o: {
  db: Db;
  claims: Pick<Claims, 'readTotals' | 'estimateTotals'>;
  now: () => number;
  /** As in the choice itself: a node refused for it rests for a while. */
  minIdleCpuPercent?: number;
}): PoolSnapshots {
  let views = new Map<string, NodeView>();
  let saturated = new Map<string, Saturation>();
  let takenAtMs = -Infinity;
  /** Reserved while a reading is under way: it may have missed them, and counting one twice for 200 ms harms nobody. */
  let reserved: { nodeId: string; units: number }[] = [];
  const underWay = new Map<'read' | 'exact', Promise<readonly NodeView[]>>();

  async function take(kind: 'read' | 'exact'): Promise<readonly NodeView[]> {
    const startedMs = o.now();
    const missed = reserved.length;
    const rows = await listPoolRows(o.db);
    const ids = rows.map((r) => r.id);
    const totals = await (kind === 'exact'
      ? o.claims.readTotals(ids, startedMs)
      : o.claims.estimateTotals(ids, startedMs));
    const taken = rows.map((row, i) => viewNode(row, totals[i] ?? 0));
    if (startedMs < takenAtMs) return [...views.values()]; // a younger reading was quicker
    rest(taken);
    views = new Map(taken.map((view) => [view.id, view]));
    takenAtMs = startedMs;
    for (const { nodeId, units } of reserved.slice(missed)) count(nodeId, units);
    return taken;
  }

  function rest(taken: NodeView[]): void {
    const now = new Map<string, Saturation>();
    for (const view of taken) {
      view.saturated = updateSaturation(saturated.get(view.id) ?? null, view, o.minIdleCpuPercent ?? 0);
      if (view.saturated) now.set(view.id, view.saturated);
    }
    saturated = now;
  }

  function share(kind: 'read' | 'exact'): Promise<readonly NodeView[]> {
    const known = underWay.get(kind);
    if (known) return known;
    const taking = take(kind).finally(() => {
      underWay.delete(kind);
      if (underWay.size === 0) reserved = [];
    });
    underWay.set(kind, taking);
    return taking;
  }

  function count(nodeId: string, units: number): void {
    const view = views.get(nodeId);
    if (view) view.claimedUnits = Math.max(0, view.claimedUnits + units);
  }

  return {
    async read() {
      const ageMs = o.now() - takenAtMs;
      if (ageMs >= OLDEST_MS) return share('read');
      if (ageMs >= REFRESH_MS) share('read').catch(() => undefined); // who reads an old one is told
      return [...views.values()];
    },
    readExactly: () => share('exact'),
    reserve(nodeId, units) {
      count(nodeId, units);
      if (underWay.size > 0) reserved.push({ nodeId, units });
    },
  };
}
