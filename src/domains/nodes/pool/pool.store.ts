/** The SQL behind the snapshot of the pool: what is on each node now, counted in one read each. */
import type { Queryable } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';

export interface NodeBusiness {
  liveCalls: number;
  /** Channels of live calls, also of calls that another node carries. */
  liveLegs: number;
  rooms: number;
  /** Units of those rooms. */
  roomUnits: number;
  registrations: number;
}

const NOTHING: NodeBusiness = { liveCalls: 0, liveLegs: 0, rooms: 0, roomUnits: 0, registrations: 0 };

interface CountRow {
  node_id: string;
  count: string;
  units?: string;
}

/** node id → what is on it; a node with nothing on it is not in the map. */
export async function countBusiness(db: Queryable): Promise<Map<string, NodeBusiness>> {
  const live = (table: string) =>
    db(table)
      .whereNot('state', 'ended')
      .whereNotNull('node_id')
      .groupBy('node_id')
      .select('node_id')
      .count('* as count');
  const [calls, legs, rooms, registrations] = (await Promise.all([
    live('calls'),
    live('legs'),
    live('sessions').sum('units as units'),
    db('registrations')
      .whereNull('unreachable_at')
      .where('expires_at', '>', storeClock.now())
      .groupBy('node_id')
      .select('node_id')
      .count('* as count'),
  ])) as unknown as CountRow[][];
  const found = new Map<string, NodeBusiness>();
  const add = (rows: CountRow[] | undefined, read: (row: CountRow) => Partial<NodeBusiness>): void => {
    for (const row of rows ?? []) found.set(row.node_id, { ...NOTHING, ...found.get(row.node_id), ...read(row) });
  };
  add(calls, (row) => ({ liveCalls: Number(row.count) }));
  add(legs, (row) => ({ liveLegs: Number(row.count) }));
  add(rooms, (row) => ({ rooms: Number(row.count), roomUnits: Number(row.units ?? 0) }));
  add(registrations, (row) => ({ registrations: Number(row.count) }));
  return found;
}

export const businessOf = (found: Map<string, NodeBusiness>, nodeId: string): NodeBusiness =>
  found.get(nodeId) ?? NOTHING;

/** state → how many rows of the table are in it, of these states. */
export async function countByState(
  db: Queryable,
  table: 'calls' | 'sessions' | 'participants',
  states: readonly string[],
): Promise<Map<string, number>> {
  const rows = (await db(table).whereIn('state', states).groupBy('state').select('state').count('* as count')) as {
    state: string;
    count: string;
  }[];
  return new Map(rows.map((row) => [row.state, Number(row.count)]));
}

/** How long the call waits that waits longest; 0 where none does. */
export async function readOldestQueuedSeconds(db: Queryable): Promise<number> {
  const row = (await db('calls')
    .where({ state: 'queued' })
    .select(db.raw('coalesce(extract(epoch from now() - min(queued_at)), 0) as seconds'))
    .first()) as { seconds: string } | undefined;
  return Math.max(0, Number(row?.seconds ?? 0));
}
