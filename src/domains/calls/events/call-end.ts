/** Decides how attempts and calls end, each once: pure, on a draft. */
import { judgeFailure } from '../dialing/who-failed';
import type { AttemptRow, CallRow, LegRow } from '../calls.store';
import { decideAfterAttempt, isDoubtful, type CallOutcome } from './outcome';
import type { AttemptOverFact } from './call-facts';
import { draftCallEvent, type Reduction } from './reduction';

/** The wait for other nodes to fall silent (15 s at most, see dialing/cancel-stale-ringing.ts) must leave time to find one. */
const LEAST_WAIT_MS = 20_000;
/** Two phones are picked up at once: originate keeps one, and ends the other with this (switch_ivr_originate.c). */
const LOSE_RACE = 'LOSE_RACE';
/** What is written of a leg whose end nobody has told. */
export const UNKNOWN_CAUSE = 'NODE_UNKNOWN';

const secondsBetween = (from: Date | null, to: Date): number | null =>
  from ? Math.max(0, Math.round((to.getTime() - from.getTime()) / 100) / 10) : null;

/** Ends whatever leg of the call is still open: none outlives its call. */
function endLegsOf(r: Reduction, callId: string, at: Date, cause: string): void {
  for (const leg of r.draft.legsOf(callId)) {
    if (leg.state !== 'ended') r.draft.setLeg(leg.id, { state: 'ended', ended_at: at, hangup_cause: cause });
  }
}

/** Ends a call, where it is not ended yet. */
export function endCall(
  r: Reduction,
  call: CallRow,
  end: { outcome: CallOutcome; cause: string | null; at: Date; joinedInto?: string },
): boolean {
  if (r.draft.call(call.id)?.state === 'ended') return false;
  const talkSeconds = secondsBetween(call.answered_at, end.at);
  r.draft.setCall(call.id, {
    state: 'ended',
    outcome: end.outcome,
    hangup_cause: end.cause,
    ended_at: end.at,
    talk_seconds: talkSeconds === null ? null : String(talkSeconds),
    joined_into: end.joinedInto ?? null,
  });
  endLegsOf(r, call.id, end.at, end.cause ?? 'NORMAL_CLEARING');
  const joined = end.joinedInto ? { joinedInto: end.joinedInto } : {};
  const data = { outcome: end.outcome, hangupCause: end.cause, talkSeconds, ...joined };
  r.events.push(draftCallEvent('call.ended', call, data));
  return true;
}

/** Back to the queue, with a new time to find a node: the first one's refusal must not cost the call its chance. */
function returnToQueue(r: Reduction, call: CallRow, end: { cause: string; at: Date }): void {
  const waitMs = Math.max(LEAST_WAIT_MS, call.place_before.getTime() - call.queued_at.getTime());
  if (call.state === 'placing' || call.state === 'ringing') {
    const placeBefore = new Date(end.at.getTime() + waitMs);
    r.draft.setCall(call.id, { state: 'queued', node_id: null, ringing_at: null, place_before: placeBefore });
  }
  endLegsOf(r, call.id, end.at, end.cause);
  r.events.push(draftCallEvent('call.retrying', call, { node: call.node_name, hangupCause: end.cause }));
}

/** Tells a phone's failure from a node's, where the cause leaves it in doubt: see dialing/who-failed.ts. */
function whoFailed(r: Reduction, call: CallRow, attempt: AttemptRow, cause: string): 'node' | 'phone' {
  if (!isDoubtful(cause)) return 'node';
  const since = attempt.placed_at;
  const legs = r.draft.legsOf(call.id).filter((leg) => leg.created_at >= since && leg.node_id !== null);
  return judgeFailure({
    cause,
    isUnderWay: call.origin === 'phone' || attempt.rang_at !== null,
    nodeId: attempt.node_id,
    phonesAt: (r.context.phones.get(call.id) ?? []).map((phone) => phone.nodeId),
    legsAt: legs.map((leg) => leg.node_id!),
  });
}

/**
 * The leg that carries an attempt is over: the call goes back to the queue, or ends.
 * @returns false where the attempt is over already, or is carried by another leg
 */
export function endAttempt(r: Reduction, told: Omit<AttemptOverFact, 'kind'>): boolean {
  const call = r.draft.call(told.callId);
  const attempt = r.draft.lastAttempt(told.callId);
  if (!call || !attempt || attempt.leg_id !== told.legId || attempt.ended_at) return false;
  // A node's clock may be behind: no call ends before it was asked for.
  const at = told.at < call.queued_at ? call.queued_at : told.at;
  const decision = decideAfterAttempt({
    cause: told.cause,
    partnerCause: told.partnerCause,
    hangupReason: call.hangup_reason,
    failed: told.failed ?? whoFailed(r, call, attempt, told.cause),
    answered: call.answered_at !== null,
    rang: attempt.rang_at !== null,
    origin: call.origin,
    attempts: attempt.number,
    hangupRequested: call.hangup_requested_at !== null,
    nowMs: at.getTime(),
    placeBeforeMs: call.place_before.getTime(),
  });
  const result = decision.next === 'retry' ? 'retried' : decision.outcome;
  if (told.cause === 'NODE_DIED' && decision.next === 'end') endLegsElsewhere(r, call.id, attempt.node_id);
  r.draft.setAttempt(attempt, { ended_at: at, result, hangup_cause: told.cause });
  if (decision.next === 'retry') returnToQueue(r, call, { cause: told.cause, at });
  else endCall(r, call, { outcome: decision.outcome, cause: told.cause, at });
  if (attempt.node_id) r.released.push({ nodeId: attempt.node_id, callId: call.id });
  return true;
}

/**
 * A node that died hangs up nothing: phones that it reached through other nodes would hear silence until the RTP
 * time-out. So the other nodes are told. Before a next attempt they are told by cancelStaleRinging(), which waits for them.
 */
function endLegsElsewhere(r: Reduction, callId: string, deadNodeId: string | null): void {
  for (const leg of r.draft.legsOf(callId)) {
    if (leg.state === 'ended' || !leg.node_id || leg.node_id === deadNodeId) continue;
    r.kills.push({ nodeId: leg.node_id, legId: leg.id, callId, cause: 'NORMAL_TEMPORARY_FAILURE' });
  }
}

/** Whether another phone of the caller still rings, or has answered and is on its way to ask for its plan. */
export const ringsElsewhere = (legs: readonly LegRow[], attempt: AttemptRow): boolean =>
  legs.some(
    (leg) => leg.node_id === attempt.node_id && leg.state !== 'ended' && leg.id !== attempt.leg_id && leg.role !== 'to',
  );

/**
 * Whether somebody else is still in the call at the node that carries it. Most often their end follows in milliseconds;
 * else they were bridged with somebody, and talk on.
 */
const hasOthersInTalk = (legs: readonly LegRow[], attempt: AttemptRow): boolean =>
  legs.some((leg) => isInTalkBeside(attempt, leg));
const isInTalkBeside = (attempt: AttemptRow, leg: LegRow): boolean =>
  leg.node_id === attempt.node_id && leg.state === 'answered' && leg.id !== attempt.leg_id;

/**
 * Whether the attempt goes on although the leg it began with is over: while others of the call talk, whoever with; and a
 * phone that is busy, gone or late says nothing of the caller's other phones. What originate answers tells the end of
 * them all.
 */
export function isCarriedOn(r: Reduction, attempt: AttemptRow, cause: string): boolean {
  const legs = r.draft.legsOf(attempt.call_id);
  if (r.draft.leg(attempt.leg_id)?.answered_at && cause !== LOSE_RACE) return hasOthersInTalk(legs, attempt);
  const call = r.draft.call(attempt.call_id);
  if (call?.origin !== 'api' || call.hangup_requested_at) return false;
  // Another phone of the caller has answered, and is on its way to ask for its plan.
  if (call.state === 'answered') return legs.some((leg) => leg.role === 'from' && isInTalkBeside(attempt, leg));
  // A phone may say no before what is known of the next one's leg was written.
  const phones = r.context.phones.get(call.id) ?? [];
  return ringsElsewhere(legs, attempt) || phones.filter((phone) => !phone.isDead).length > 1;
}

/** How a call ended, by its legs: where nobody knows how the carrying one did, another's end tells. */
function readEnd(
  carrying: LegRow,
  legs: readonly LegRow[],
  nowMs: number,
): { cause: string; at: Date; partnerCause?: string } {
  const isTold = (leg: LegRow): boolean =>
    leg.state === 'ended' && leg.ended_at !== null && leg.hangup_cause !== null && leg.hangup_cause !== UNKNOWN_CAUSE;
  const [last] = legs
    .filter((leg) => leg.answered_at !== null && isTold(leg) && leg.id !== carrying.id)
    .sort((a, b) => b.ended_at!.getTime() - a.ended_at!.getTime());
  // A phone that never answered does not tell how others talked.
  const best = isTold(carrying) && (carrying.answered_at || !last) ? carrying : (last ?? carrying);
  const partnerCause = last?.hangup_cause ?? undefined;
  return { cause: best.hangup_cause ?? UNKNOWN_CAUSE, at: best.ended_at ?? new Date(nowMs), partnerCause };
}

/** Ends a call whose carrying leg is over once nobody of it is left at its node: until then they may talk on. */
export function endTalkIfOver(r: Reduction, callId: string): boolean {
  const attempt = r.draft.lastAttempt(callId);
  const carrying = attempt && !attempt.ended_at ? r.draft.leg(attempt.leg_id) : undefined;
  if (!attempt || carrying?.state !== 'ended') return false;
  if (!carrying.answered_at && r.draft.call(callId)?.state !== 'answered') return false; // other phones may ring
  const legs = r.draft.legsOf(callId);
  if (hasOthersInTalk(legs, attempt)) return false;
  return endAttempt(r, { callId, legId: attempt.leg_id, ...readEnd(carrying, legs, r.context.nowMs) });
}

/** A node does not have the leg, and nobody has told how it ended. Its record, where it came, has; else the call is lost. */
export function endMissingLeg(r: Reduction, legId: string, at: Date): boolean {
  const leg = r.draft.leg(legId);
  if (!leg || leg.state === 'ended') return false;
  const cause = UNKNOWN_CAUSE;
  const ended = { state: 'ended' as const, ended_at: at, hangup_cause: cause };
  const attempt = r.draft.lastAttempt(leg.call_id);
  if (attempt?.leg_id === legId && !attempt.ended_at && !isCarriedOn(r, attempt, cause)) {
    // Where another leg of it has told how it ended, the call is not lost.
    const end = readEnd({ ...leg, ...ended }, r.draft.legsOf(leg.call_id), r.context.nowMs);
    endAttempt(r, { callId: leg.call_id, legId, ...end });
  }
  if (r.draft.leg(legId)?.state !== 'ended') r.draft.setLeg(legId, ended);
  if (attempt && !attempt.ended_at) endTalkIfOver(r, leg.call_id);
  return true;
}
