/** The SQL of nodes' clocks. */
import type { Queryable } from '../../../infra/stores/db';
import type { ClockRow } from './judge';

export async function findNodeClock(db: Queryable, nodeId: string): Promise<ClockRow | null> {
  const row = (await db('nodes').where({ id: nodeId }).first('clock')) as { clock: ClockRow | null } | undefined;
  return row?.clock ?? null;
}

export async function saveNodeClock(db: Queryable, nodeId: string, clock: ClockRow): Promise<void> {
  await db('nodes')
    .where({ id: nodeId })
    .update({ clock: JSON.stringify(clock) });
}

/** Phones registered there, and channels by its last report. */
export async function countWhatASyncTouches(
  db: Queryable,
  nodeId: string,
): Promise<{ phones: number; channels: number }> {
  const [phones, node] = (await Promise.all([
    db('registrations').where({ node_id: nodeId }).count('* as count').first(),
    db('nodes').where({ id: nodeId }).first('session_count'),
  ])) as [{ count: string }, { session_count: number } | undefined];
  return { phones: Number(phones.count), channels: node?.session_count ?? 0 };
}
