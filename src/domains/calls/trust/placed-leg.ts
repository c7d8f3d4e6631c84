/** Says whether a channel that asks in our own context is one that we had placed there: no phone, and no other node, gets a call's plan. */
import type { Queryable } from '../../../infra/stores/db';
import { isId } from '../../../infra/ids';
import { findLastAttempt, findLeg, type CallRow } from '../calls.store';

/**
 * The leg is known as one of this call at this node. One that is not known yet may be another phone of the caller's, which
 * has answered before the event of its ringing was taken in: only while nobody has answered, and only at the node that
 * makes the attempt.
 */
export async function isPlacedLeg(
  db: Queryable,
  node: { id: string },
  call: Pick<CallRow, 'id' | 'origin' | 'state'>,
  legId: string,
): Promise<boolean> {
  if (!isId(legId)) return false;
  const leg = await findLeg(db, legId);
  if (leg) return leg.call_id === call.id && leg.node_id === node.id && leg.state !== 'ended';
  const isRinging = call.state === 'placing' || call.state === 'ringing';
  if (call.origin !== 'api' || !isRinging) return false;
  const attempt = await findLastAttempt(db, call.id);
  return attempt?.node_id === node.id && attempt.ended_at === null;
}
