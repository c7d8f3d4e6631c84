/** Moves legs and calls on by what a node reports of a channel: pure, on a draft; the same report twice changes nothing. */
import type { ChannelEvent } from '../../../freeswitch/esl';
import { ECHO_NUMBER } from '../../../infra/text/dialled-name';
import { isOwnId } from '../../../infra/ids';
import { boundTime, putInOrder } from '../../nodes/trust/bounded-time';
import type { CallRow, LegRole, LegRow } from '../calls.store';
import { refuseLeg } from '../trust/judge-report';
import { endAttempt, endTalkIfOver, isCarriedOn } from './call-end';
import type { ChannelFact, FactNode } from './call-facts';
import { joinBridged } from './joined-calls';
import { draftCallEvent, timeInCall, type Reduction } from './reduction';

const ROLES: readonly string[] = ['from', 'to', 'transit'];
/** A bridge exports its role to every leg it makes; one that only leads to another node is on its way. */
function readRole(event: ChannelEvent): LegRole {
  if (event.profile === 'internode') return 'transit';
  return ROLES.includes(event.legRole ?? '') ? (event.legRole as LegRole) : 'to';
}

/** Whether an event of a leg that is known can tell something new of it. */
export function movesLeg(known: Pick<LegRow, 'state'>, event: Pick<ChannelEvent, 'phase'>): boolean {
  switch (event.phase) {
    case 'progress':
    case 'progress_media':
      return known.state === 'placing';
    case 'answered':
      return known.state === 'placing' || known.state === 'ringing';
    case 'held':
    case 'unheld':
      return true;
    default:
      return false;
  }
}

/** Somebody hung up before anybody answered: maybe before there was a channel that their node could end. */
const isUnwanted = (call: CallRow): boolean =>
  call.hangup_requested_at !== null && (call.state === 'placing' || call.state === 'ringing');

export function takeChannel(r: Reduction, { node, event }: ChannelFact): void {
  if (!isOwnId(event.legId)) return; // in capitals it would be found in the database, and not here
  const known = r.draft.leg(event.legId);
  const callId = known?.call_id ?? event.callId;
  const call = callId === undefined ? undefined : r.draft.call(callId);
  if (!call) return; // a channel nobody asked us for
  if (known?.state === 'ended' && known.node_id === node.id) return;
  const refusal = refuseLeg(r, node, call, event.legId);
  if (refusal) {
    const details = { leg: event.legId, callId: call.id, phase: event.phase };
    r.refusals.push({ node, about: refusal, details });
    return;
  }
  if (event.phase === 'hangup' || event.phase === 'destroyed') return endLeg(r, node, call, known, event);
  if (event.phase === 'bridged' && known && event.otherLegId && isOwnId(event.otherLegId)) {
    joinBridged(r, { node, legId: event.legId, otherLegId: event.otherLegId, atMs: event.atMs });
    return;
  }
  if (!known || movesLeg(known, event)) {
    if (call.state === 'ended') return;
    moveLeg(r, node, call, known ?? addLeg(r, node, call, event), event);
  }
  if ((!known || movesLeg(known, event) || event.phase === 'created') && isUnwanted(call)) noteUnwanted(r, call.id);
}

function noteUnwanted(r: Reduction, callId: string): void {
  const attempt = r.draft.lastAttempt(callId);
  if (attempt?.node_id && !attempt.ended_at) r.unwanted.push(attempt);
}

function addLeg(r: Reduction, node: FactNode, call: CallRow, event: ChannelEvent): LegRow {
  const role = r.draft.lastAttempt(call.id)?.leg_id === event.legId ? 'from' : readRole(event);
  const row: LegRow = {
    id: event.legId,
    call_id: call.id,
    node_id: node.id,
    role,
    address: role === 'from' ? call.from_address : call.to_address,
    state: 'placing',
    created_at: boundTime(event.createdAtMs ?? event.atMs, call.queued_at.getTime(), r.context.nowMs).at,
    ringing_at: null,
    answered_at: null,
    ended_at: null,
    hangup_cause: null,
    held_since: null,
  };
  r.draft.addLeg(row);
  r.events.push(draftCallEvent('call.leg_created', call, { leg: row.id, role, node: node.name }));
  return row;
}

function moveLeg(r: Reduction, node: FactNode, call: CallRow, leg: LegRow, event: ChannelEvent): void {
  const at = timeInCall(r, node, call, event.atMs);
  switch (event.phase) {
    case 'progress':
    case 'progress_media':
      if (leg.state !== 'placing') return;
      r.draft.setLeg(leg.id, { state: 'ringing', ringing_at: at });
      if (leg.role !== 'transit') moveToRinging(r, call, leg, at);
      return;
    case 'answered':
      if (leg.state !== 'placing' && leg.state !== 'ringing') return;
      r.draft.setLeg(leg.id, { state: 'answered', answered_at: putInOrder(leg.ringing_at, at) });
      if (leg.role === 'transit') return;
      if (leg.role === 'to' || call.to_address === ECHO_NUMBER) moveToAnswered(r, call, at);
      else moveToRinging(r, call, leg, at);
      return;
    case 'held':
    case 'unheld':
      return markHeld(r, call, leg, event.phase === 'held' ? at : null);
  }
}

/** Since when the phone of a leg holds; null: it does not. */
export function markHeld(r: Reduction, call: CallRow, leg: LegRow, since: Date | null): void {
  if (leg.state === 'ended' || (leg.held_since === null) === (since === null)) return;
  r.draft.setLeg(leg.id, { held_since: since });
  const type = since ? 'call.held' : 'call.unheld';
  r.events.push(draftCallEvent(type, call, { leg: leg.id, role: leg.role }));
}

function moveToRinging(r: Reduction, call: CallRow, leg: LegRow, at: Date): void {
  if (call.state !== 'placing') return;
  for (const attempt of r.draft.attemptsOf(call.id)) {
    if (attempt.ended_at === null && attempt.rang_at === null) r.draft.setAttempt(attempt, { rang_at: at });
  }
  r.draft.setCall(call.id, { state: 'ringing', ringing_at: at });
  r.events.push(draftCallEvent('call.ringing', call, { node: call.node_name, leg: leg.id, role: leg.role }));
}

export function moveToAnswered(r: Reduction, call: CallRow, at: Date): void {
  if (call.state !== 'placing' && call.state !== 'ringing') return;
  r.draft.setCall(call.id, { state: 'answered', answered_at: putInOrder(call.ringing_at, at) });
  r.events.push(draftCallEvent('call.answered', call, { node: call.node_name }));
}

/** Ends a leg; where it carried the attempt, the attempt ends with it. */
function endLeg(r: Reduction, node: FactNode, call: CallRow, known: LegRow | undefined, event: ChannelEvent): void {
  const at = timeInCall(r, node, call, event.endedAtMs ?? event.atMs);
  const cause = event.hangupCause ?? known?.hangup_cause ?? 'UNKNOWN';
  const attempt = r.draft.lastAttempt(call.id);
  if (attempt?.leg_id === event.legId && !attempt.ended_at && !isCarriedOn(r, attempt, cause)) {
    const failed = event.registrationId === undefined ? undefined : ('phone' as const);
    const told = { callId: call.id, legId: event.legId, cause, at, partnerCause: event.partnerCause, failed };
    if (endAttempt(r, told)) return; // that ends all legs of the call
  }
  if (!known) return;
  r.draft.setLeg(known.id, { state: 'ended', ended_at: at, hangup_cause: cause });
  const data = { leg: known.id, role: known.role, hangupCause: cause, node: node.name };
  r.events.push(draftCallEvent('call.leg_ended', call, data));
  // The carrying leg may have ended before, with this one still in the call.
  if (attempt && !attempt.ended_at && call.state === 'answered') endTalkIfOver(r, call.id);
}
