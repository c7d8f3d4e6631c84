/**
 * Two calls become one where a node has bridged the far ends of both: those two talk, and whoever held the calls together
 * is out of them. The older call goes on, from its own beginning; the younger one ends into it. Pure, on a draft.
 */
import { boundTime } from '../../nodes/trust/bounded-time';
import type { CallRow, LegRow } from '../calls.store';
import type { BridgedFact, FactNode, PickedUpFact } from './call-facts';
import { endCall } from './call-end';
import { draftCallEvent, type Reduction } from './reduction';

/** As FreeSWITCH calls it where a phone has asked for it. */
const JOINED_CAUSE = 'ATTENDED_TRANSFER';

/**
 * Both channels are known as legs of the node, in two calls of one domain: whoever bridges people of two domains makes no
 * call of either, and each goes on by itself.
 * @returns whether this made one call of two
 */
export function joinBridged(r: Reduction, { node, legId, otherLegId, atMs }: Omit<BridgedFact, 'kind'>): boolean {
  const one = r.draft.leg(legId);
  const other = r.draft.leg(otherLegId);
  if (!one || !other || one.call_id === other.call_id) return false;
  if (one.state === 'ended' || other.state === 'ended') return false;
  if (one.node_id !== node.id || other.node_id !== node.id) {
    r.refusals.push({ node, about: 'leg', details: { leg: legId, callId: one.call_id } });
    return false;
  }
  const [kept, moved] = one.call_id < other.call_id ? [one, other] : [other, one]; // ids sort by time
  const call = r.draft.call(kept.call_id);
  const gone = r.draft.call(moved.call_id);
  if (call?.state !== 'answered' || gone?.state !== 'answered' || call.domain_id !== gone.domain_id) return false;
  const { at } = boundTime(atMs, gone.queued_at.getTime(), r.context.nowMs);
  join(r, { call, gone, kept, moved, node, at });
  return true;
}

interface Join {
  call: CallRow;
  gone: CallRow;
  /** The leg of the call that goes on. */
  kept: LegRow;
  /** The leg of the one that ends. */
  moved: LegRow;
  node: FactNode;
  at: Date;
}

function join(r: Reduction, { call, gone, kept, moved, node, at }: Join): void {
  const held = r.draft.lastAttempt(gone.id);
  // Whoever held the younger call stays in it and ends with it; all others of it are on the way to the one who talks on.
  const staysId = held && held.leg_id !== moved.id ? held.leg_id : undefined;
  for (const leg of r.draft.legsOf(gone.id)) {
    if (leg.state !== 'ended' && leg.id !== staysId) r.draft.setLeg(leg.id, { call_id: call.id });
  }
  if (held && !held.ended_at) {
    r.draft.setAttempt(held, { ended_at: at, result: 'answered', hangup_cause: JOINED_CAUSE });
  }
  endCall(r, gone, { outcome: 'answered', cause: JOINED_CAUSE, at, joinedInto: call.id });
  const joined = { id: gone.id, from: gone.from_address, to: gone.to_address };
  r.events.push(draftCallEvent('call.joined', call, { joined, node: node.name }));
  r.joined.push({ callId: call.id, joined: gone.id, node: node.name });
  if (gone.node_id) r.released.push({ nodeId: gone.node_id, callId: gone.id });
  const carried = r.draft.lastAttempt(call.id);
  if (!carried || carried.ended_at || [kept.id, moved.id].includes(carried.leg_id)) return;
  moveCarrying(r, call, { fromLegId: carried.leg_id, legId: kept.id, node });
}

/** Another leg carries the call from here on; where that is at another node, so is the call. */
function moveCarrying(r: Reduction, call: CallRow, o: { fromLegId: string; legId: string; node: FactNode }): void {
  const attempt = r.draft.attemptsOf(call.id).find((a) => a.leg_id === o.fromLegId && a.ended_at === null);
  if (!attempt) return;
  r.draft.setAttempt(attempt, {
    leg_id: o.legId,
    first_leg_id: attempt.first_leg_id ?? attempt.leg_id,
    node_id: o.node.id,
    node_name: o.node.name,
    node_core_uuid: o.node.core_uuid,
  });
  if (call.node_id === o.node.id) return;
  r.draft.setCall(call.id, { node_id: o.node.id, node_name: o.node.name });
  if (call.node_id) r.released.push({ nodeId: call.node_id, callId: call.id }); // the sweep claims it where it is now
}

/** The leg that asks where to go is the one that has answered. */
export function pickUp(r: Reduction, { callId, nodeId, legId }: Omit<PickedUpFact, 'kind'>): boolean {
  const attempt = r.draft.lastAttempt(callId);
  if (r.draft.call(callId)?.origin !== 'api' || attempt?.node_id !== nodeId || attempt.ended_at) return false;
  if (attempt.first_leg_id !== null || attempt.leg_id === legId) return false;
  r.draft.setAttempt(attempt, { leg_id: legId, first_leg_id: attempt.leg_id });
  return true;
}

/** The leg that carried a call is over, and another of it talks on. */
export function carryOn(
  r: Reduction,
  o: { callId: string; fromLegId: string; legId: string; node: FactNode },
): boolean {
  const call = r.draft.call(o.callId);
  const leg = r.draft.leg(o.legId);
  if (call?.state !== 'answered' || !leg) return false;
  moveCarrying(r, call, o);
  r.events.push(draftCallEvent('call.carried_on', call, { leg: leg.id, role: leg.role, node: o.node.name }));
  return true;
}
