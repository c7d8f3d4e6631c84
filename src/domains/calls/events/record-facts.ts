/** Puts right what a call detail record tells better than events did, and ends what no event has ended: pure, on a draft. */
import { ECHO_NUMBER } from '../../../infra/text/dialled-name';
import { boundRecord, CLOCK_TOLERANCE_MS, putInOrder } from '../../nodes/trust/bounded-time';
import type { AttemptRow, CallRow, LegRow } from '../calls.store';
import { decideAfterAttempt } from './outcome';
import { endAttempt, endTalkIfOver, isCarriedOn } from './call-end';
import type { RecordFact } from './call-facts';
import { moveToAnswered } from './channel-events';
import { draftCallEvent, type Reduction } from './reduction';

/** What the record tells of times, within the call's own. */
type Times = ReturnType<typeof boundRecord>;

/** @returns whether it is of a call that we know */
export function takeRecord(r: Reduction, fact: RecordFact): boolean {
  const leg = r.draft.leg(fact.legId);
  const callId = leg?.call_id ?? fact.callId;
  const call = callId ? r.draft.call(callId) : undefined;
  if (!call) return false;
  const times = boundRecord(fact, call.queued_at.getTime(), r.context.nowMs);
  if (times.isMoved) {
    r.refusals.push({ node: fact.node, about: 'time', details: { leg: fact.legId, callId: call.id } });
  }
  if (leg) endRecordedLeg(r, fact, leg, times);
  const attempt = r.draft.attemptsOf(call.id).find(({ leg_id: legId }) => legId === fact.legId);
  if (attempt?.ended_at) correctCall(r, fact, attempt, times);
  else if (attempt) endRecordedAttempt(r, fact, attempt, times);
  // The one that carries the call may be over as well, with nobody having told of this one yet.
  if (call.state === 'answered') endTalkIfOver(r, call.id);
  return true;
}

function endRecordedLeg(r: Reduction, fact: RecordFact, leg: LegRow, times: Times): void {
  const ringingAt = times.ringingAt && putInOrder(leg.created_at, times.ringingAt);
  const answeredAt = times.answeredAt && putInOrder(ringingAt ?? leg.created_at, times.answeredAt);
  r.draft.setLeg(leg.id, {
    state: 'ended',
    ended_at: putInOrder(answeredAt ?? ringingAt ?? leg.created_at, times.endedAt),
    hangup_cause: fact.cause,
    ...(ringingAt ? { ringing_at: ringingAt } : {}),
    ...(answeredAt ? { answered_at: answeredAt } : {}),
  });
}

/** When the two ends were connected, as the caller's leg tells it. */
function connectedAt(fact: RecordFact, call: CallRow, times: Times): Date | null {
  const isAlone = call.to_address === ECHO_NUMBER || fact.wasInRoom;
  const at = times.bridgedAt ?? (isAlone ? times.answeredAt : null);
  return at && putInOrder(call.ringing_at, at);
}

function endRecordedAttempt(r: Reduction, fact: RecordFact, attempt: AttemptRow, times: Times): void {
  const call = r.draft.call(attempt.call_id)!;
  // An answer that no event has told.
  const at = call.answered_at === null ? connectedAt(fact, call, times) : null;
  if (at) moveToAnswered(r, call, at);
  if (isCarriedOn(r, attempt, fact.cause)) return;
  const { legId, cause, partnerCause } = fact;
  endAttempt(r, { callId: call.id, legId, cause, at: times.endedAt, partnerCause });
}

/** The call is over: what was only guessed (`lost`) is put right, once. */
function correctCall(r: Reduction, fact: RecordFact, attempt: AttemptRow, times: Times): void {
  const call = r.draft.call(attempt.call_id)!;
  if (call.state !== 'ended' || call.joined_into) return; // who talked on did so in another one
  // The record of a node that refused comes late, and says nothing of what the next one did.
  if (r.draft.lastAttempt(call.id)?.leg_id !== fact.legId) return;
  const answeredAt = call.answered_at ?? (call.outcome === 'lost' ? connectedAt(fact, call, times) : null);
  const endedAt = latestEnd(call, times.endedAt);
  const talkSeconds = answeredAt ? Math.max(0, (endedAt.getTime() - answeredAt.getTime()) / 1000) : null;
  const settled = {
    hangup_cause: fact.cause,
    answered_at: answeredAt,
    ended_at: endedAt,
    talk_seconds: talkSeconds === null ? null : String(Math.round(talkSeconds * 10) / 10),
  };
  if (call.outcome !== 'lost') return r.draft.setCall(call.id, settled);
  const decision = decideAfterAttempt({
    failed: 'phone',
    cause: fact.cause,
    partnerCause: fact.partnerCause,
    hangupReason: call.hangup_reason,
    answered: answeredAt !== null,
    rang: attempt.rang_at !== null,
    origin: 'phone', // a record never makes a call ring again
    attempts: attempt.number,
    hangupRequested: call.hangup_requested_at !== null,
    nowMs: endedAt.getTime(),
    placeBeforeMs: call.place_before.getTime(),
  });
  if (decision.next !== 'end' || decision.outcome === 'lost') return;
  r.draft.setCall(call.id, { outcome: decision.outcome, ...settled });
  const data = { outcome: decision.outcome, hangupCause: fact.cause, talkSeconds };
  r.events.push(draftCallEvent('call.corrected', call, data));
}

/** A call that ended as it should does not go on in its record; one that was given up may have gone on until now. */
function latestEnd(call: CallRow, claimed: Date): Date {
  if (call.outcome === 'lost' || !call.ended_at) return claimed;
  return new Date(Math.min(claimed.getTime(), call.ended_at.getTime() + CLOCK_TOLERANCE_MS));
}
