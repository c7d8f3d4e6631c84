/** The SQL behind the watch on what nodes ask for: what a node really has. */
import type { Queryable } from '../../../infra/stores/db';

/** Registrations at the node now, and channels it was given since. */
export async function countPhonesAndLegs(
  db: Queryable,
  nodeId: string,
  since: Date,
): Promise<{ phones: number; legs: number }> {
  const [phones, legs] = (await Promise.all([
    db('registrations').where({ node_id: nodeId }).count('* as count').first(),
    db('legs').where({ node_id: nodeId }).where('created_at', '>=', since).count('* as count').first(),
  ])) as { count: string }[];
  return { phones: Number(phones!.count), legs: Number(legs!.count) };
}
