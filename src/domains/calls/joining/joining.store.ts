/** The SQL by which legs go over to another call, and another leg comes to carry a call. */
import type { Queryable } from '../../../infra/stores/db';
import type { NodeRow } from '../../nodes/nodes.store';

/** @param exceptLegId who stays behind */
export async function moveLegs(
  db: Queryable,
  fromCallId: string,
  toCallId: string,
  exceptLegId: string | undefined,
): Promise<void> {
  const legs = db('legs').where({ call_id: fromCallId }).whereNot('state', 'ended');
  if (exceptLegId !== undefined) void legs.whereNot('id', exceptLegId);
  await legs.update({ call_id: toCallId });
}

/** @returns whether the attempt was still open, and carried by the first. */
export async function moveAttempt(
  db: Queryable,
  legId: string,
  to: { legId: string; node: Pick<NodeRow, 'id' | 'name' | 'core_uuid'> },
): Promise<boolean> {
  const changed = await db('call_attempts')
    .where({ leg_id: legId })
    .whereNull('ended_at')
    .update({
      leg_id: to.legId,
      first_leg_id: db.raw('coalesce(first_leg_id, leg_id)'),
      node_id: to.node.id,
      node_name: to.node.name,
      node_core_uuid: to.node.core_uuid,
    });
  return changed > 0;
}

export interface Widowed {
  callId: string;
  /** The leg that carried the call, and is over. */
  legId: string;
}

/** Calls of a node that are answered, and whose carrying leg is over: others may talk on in them. */
export async function listWidowed(db: Queryable, nodeId: string): Promise<Widowed[]> {
  return (await db('calls as c')
    .join('call_attempts as a', 'a.call_id', 'c.id')
    .join('legs as l', 'l.id', 'a.leg_id')
    .where({ 'c.node_id': nodeId, 'c.state': 'answered', 'l.state': 'ended' })
    .whereNull('a.ended_at')
    .select('c.id as callId', 'a.leg_id as legId')) as Widowed[];
}

/** A call that has ended into another one. */
export interface JoinedCall {
  id: string;
  joined_into: string;
  from_address: string;
  to_address: string;
}

/** The calls that have ended into any of these. */
export async function listJoined(db: Queryable, callIds: readonly string[]): Promise<JoinedCall[]> {
  const rows = db('calls').whereIn('joined_into', callIds).orderBy('id');
  return (await rows.select('id', 'joined_into', 'from_address', 'to_address')) as JoinedCall[];
}
