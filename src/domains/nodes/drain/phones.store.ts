/** The SQL of phones at a node that drains. */
import type { Queryable } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';

export interface PhoneToMove {
  domain_id: string;
  user_id: string;
  grant_id: string | null;
  contact: string;
  transport: string;
  user_agent: string;
}

/** Marks those that were not asked yet. @returns them, at most so many */
export async function listPhonesToMove(
  db: Queryable,
  nodeId: string,
  now: Date,
  atOnce: number,
): Promise<PhoneToMove[]> {
  const notAsked = db('registrations')
    .where({ node_id: nodeId })
    .whereNull('asked_to_move_at')
    .whereNull('unreachable_at')
    .where('expires_at', '>', now)
    .limit(atOnce)
    .select('id');
  return (await db('registrations')
    .whereIn('id', notAsked)
    .whereNull('asked_to_move_at')
    .update({ asked_to_move_at: now })
    .returning(['domain_id', 'user_id', 'grant_id', 'contact', 'transport', 'user_agent'])) as PhoneToMove[];
}

/** The next drain asks again. */
export async function forgetAskedToMove(db: Queryable, nodeId: string): Promise<void> {
  await db('registrations')
    .where({ node_id: nodeId })
    .whereNotNull('asked_to_move_at')
    .update({ asked_to_move_at: null });
}

/** What the node was told when it read its profiles. */
export async function notePhonesRefused(db: Queryable, nodeId: string, refused: boolean): Promise<void> {
  await db('nodes').where({ id: nodeId }).whereNot({ phones_refused: refused }).update({ phones_refused: refused });
}

/** Those whose registration holds, except those that a call found dead. */
export async function countPhones(db: Queryable, nodeId: string): Promise<number> {
  const [row] = (await db('registrations')
    .where({ node_id: nodeId, unreachable_at: null })
    .where('expires_at', '>', storeClock.now())
    .count('* as count')) as { count: string }[];
  return Number(row!.count);
}

/** Nodes with living rooms. */
export async function listRoomNodeIds(db: Queryable): Promise<Set<string>> {
  return new Set(
    (await db('sessions').whereNot('state', 'ended').whereNotNull('node_id').distinct().pluck('node_id')) as string[],
  );
}

/** @returns false where somebody else has just opened it, or it was open a moment ago */
export async function markDoorOpen(
  db: Queryable,
  nodeId: string,
  now: Date,
  { openMs, shutMs }: { openMs: number; shutMs: number },
): Promise<boolean> {
  const count = await db('nodes')
    .where({ id: nodeId })
    .where((q) => q.whereNull('door_open_until').orWhere('door_open_until', '<=', new Date(now.getTime() - shutMs)))
    .update({ door_open_until: new Date(now.getTime() + openMs) });
  return count > 0;
}
