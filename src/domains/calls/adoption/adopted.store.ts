/** The SQL by which a call that is over comes to life again, and one whose row was lost is written again. */
import type { Queryable } from '../../../infra/stores/db';
import type { NodeRow } from '../../nodes/nodes.store';

export async function hasDomain(db: Queryable, id: string): Promise<boolean> {
  return (await db('domains').where({ id }).first('id')) !== undefined;
}

/** @returns whether the call was over until now. */
export async function reviveCall(
  db: Queryable,
  id: string,
  o: { nodeId: string; answeredAt: Date; now: Date },
): Promise<boolean> {
  const changed = await db('calls')
    .where({ id, state: 'ended' })
    .whereNull('joined_into')
    .whereNull('hangup_requested_at')
    .update({
      state: 'answered',
      outcome: null,
      hangup_cause: null,
      ended_at: null,
      talk_seconds: null,
      node_id: o.nodeId,
      placing_at: db.raw('coalesce(placing_at, ?)', [o.answeredAt]),
      answered_at: db.raw('coalesce(answered_at, ?)', [o.answeredAt]),
      adopted_at: o.now,
    });
  return changed > 0;
}

/** The last attempt goes on, carried by this leg where its own is none of these. */
export async function reopenAttempt(
  db: Queryable,
  callId: string,
  o: { legId: string; livingLegIds: readonly string[]; node: Pick<NodeRow, 'id' | 'name' | 'core_uuid'>; at: Date },
): Promise<void> {
  const last = (await db('call_attempts').where({ call_id: callId }).orderBy('number', 'desc').first()) as
    { number: number; leg_id: string } | undefined;
  const where = { node_id: o.node.id, node_name: o.node.name, node_core_uuid: o.node.core_uuid };
  if (!last) {
    await db('call_attempts').insert({ call_id: callId, number: 1, leg_id: o.legId, placed_at: o.at, ...where });
    return;
  }
  const open = { ended_at: null, result: null, hangup_cause: null };
  const isCarried = o.livingLegIds.includes(last.leg_id);
  const carried = isCarried
    ? {}
    : { leg_id: o.legId, first_leg_id: db.raw('coalesce(first_leg_id, leg_id)'), ...where };
  await db('call_attempts')
    .where({ call_id: callId, number: last.number })
    .update({ ...open, ...carried });
}

/** Legs of the call that the node has go on. */
export async function reopenLegs(
  db: Queryable,
  callId: string,
  o: { nodeId: string; livingLegIds: readonly string[]; at: Date },
): Promise<void> {
  await db('legs')
    .where({ call_id: callId, node_id: o.nodeId, state: 'ended' })
    .whereIn('id', o.livingLegIds)
    .update({
      state: 'answered',
      answered_at: db.raw('coalesce(answered_at, ?)', [o.at]),
      ended_at: null,
      hangup_cause: null,
    });
}
