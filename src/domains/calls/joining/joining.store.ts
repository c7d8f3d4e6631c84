/** The SQL of calls that were joined, and of those whose carrying leg is over. */
import type { Queryable } from '../../../infra/stores/db';

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
