/**
 * A call's life is one reducer: rows as they are and facts in their order make changes, numbered events and what is left to
 * do. Nothing else moves a call. Pure: no store, no node and no clock is asked.
 */
import { isTooLate } from '../dialing/decisions';
import { endAttempt, endCall, endMissingLeg, endTalkIfOver } from './call-end';
import { CallsDraft, type CallChanges, type LoadedCalls } from './call-draft';
import type { CallFact, HangupAskedFact, NeverPlacedFact, RedirectedFact } from './call-facts';
import { markHeld, moveToAnswered, takeChannel } from './channel-events';
import { carryOn, joinBridged, pickUp } from './joined-calls';
import { takeRecord } from './record-facts';
import { draftCallEvent, type CallContext, type CallEffects, type Reduction } from './reduction';
import type { EventDraft } from '../../events/events.store';

export interface ReducedCalls extends CallEffects {
  changes: CallChanges;
  /** In the order in which they are numbered. */
  events: EventDraft[];
  /** Of each fact: whether it was one for the call as it was; a fact that came before is not. */
  applied: boolean[];
}

/**
 * @param loaded the calls that the facts are about (idsOf), with all their legs and attempts; a fact of a call that is not
 *   among them changes nothing
 */
export function reduceCalls(loaded: LoadedCalls, facts: readonly CallFact[], context: CallContext): ReducedCalls {
  const draft = new CallsDraft(loaded);
  const r: Reduction = {
    ...{ draft, context, events: [] },
    ...{ released: [], kills: [], unwanted: [], refusals: [], joined: [] },
  };
  const applied = facts.map((fact) => takeFact(r, fact));
  const { draft: _draft, context: _context, ...rest } = r;
  return { ...rest, changes: draft.changes(), applied };
}

function takeFact(r: Reduction, fact: CallFact): boolean {
  switch (fact.kind) {
    case 'channel':
      takeChannel(r, fact);
      return true;
    case 'attempt_over':
      return endAttempt(r, fact);
    case 'leg_missing':
      return endMissingLeg(r, fact.legId, fact.at);
    case 'talk_over':
      return endTalkIfOver(r, fact.callId);
    case 'bridged':
      return joinBridged(r, fact);
    case 'picked_up':
      return pickUp(r, fact);
    case 'carried_on':
      return carryOn(r, fact);
    case 'record':
      return takeRecord(r, fact);
    case 'hangup_asked':
      return askForEnd(r, fact);
    case 'never_placed':
      return endQueued(r, fact);
    case 'redirected':
      return redirect(r, fact);
    case 'entered': {
      const call = r.draft.call(fact.callId);
      if (call) moveToAnswered(r, call, fact.at);
      return call !== undefined;
    }
    case 'unheld': {
      const [call, leg] = [r.draft.call(fact.callId), r.draft.leg(fact.legId)];
      if (!call || !leg) return false;
      markHeld(r, call, leg, null);
      return true;
    }
  }
}

/** A call that waits ends by this; one that has a node ends when that has done it. */
function askForEnd(r: Reduction, { callId, at, reason, notSince, whileAnswered }: HangupAskedFact): boolean {
  const call = r.draft.call(callId);
  if (!call || call.state === 'ended' || (whileAnswered && call.state !== 'answered')) return false;
  if (notSince && call.hangup_requested_at && call.hangup_requested_at >= notSince) return false;
  r.draft.setCall(callId, { hangup_requested_at: at, ...(reason ? { hangup_reason: reason } : {}) });
  if (call.state === 'queued') endQueued(r, { callId, outcome: 'cancelled', at });
  return true;
}

/** Where it still waits; `no_capacity` only where its time is over by what is written now. */
function endQueued(r: Reduction, { callId, outcome, at }: Omit<NeverPlacedFact, 'kind'>): boolean {
  const call = r.draft.call(callId);
  if (call?.state !== 'queued' || (outcome === 'no_capacity' && !isTooLate(call, at.getTime()))) return false;
  return endCall(r, call, { outcome, cause: outcome === 'cancelled' ? 'ORIGINATOR_CANCEL' : null, at });
}

function redirect(r: Reduction, { callId, to, legId }: RedirectedFact): boolean {
  const call = r.draft.call(callId);
  if (!call || call.state === 'ended') return false;
  if (legId === undefined ? call.state !== 'answered' : call.to_address === to) return false;
  r.draft.setCall(callId, { to_address: to });
  r.events.push(draftCallEvent('call.transferred', call, { to, leg: legId }));
  return true;
}
