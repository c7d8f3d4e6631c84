/** Says what a hangup cause means for a call: how it ended, or that another node should try. Pure. */

import { isPhoneLost } from '../../freeswitch/esl';

export type CallState = 'queued' | 'placing' | 'ringing' | 'answered' | 'ended';
export const CALL_OUTCOMES = [
  'answered',
  'busy',
  'no_answer',
  'rejected',
  'cancelled',
  'unreachable',
  'no_capacity',
  'failed',
  'lost',
  'connection_lost',
  'hold_limit',
] as const;
export type CallOutcome = (typeof CALL_OUTCOMES)[number];
/** Why we have a call hung up, where its outcome says so. */
export type HangupReason = Extract<CallOutcome, 'hold_limit'>;

/** Causes by which the node, and not the person called, says no. Names: switch_cause_t of FreeSWITCH 1.10.12. */
const NODE_CAUSES = new Set([
  'SWITCH_CONGESTION',
  'NORMAL_CIRCUIT_CONGESTION',
  'NETWORK_OUT_OF_ORDER',
  'NORMAL_TEMPORARY_FAILURE',
  'REQUESTED_CHAN_UNAVAIL',
  'MANAGER_REQUEST',
  'SYSTEM_SHUTDOWN',
  'CHAN_NOT_IMPLEMENTED',
  'MAX_CALLS',
  'NODE_REFUSED',
  'NODE_DIED',
]);

const OUTCOMES: Record<string, CallOutcome> = {
  USER_BUSY: 'busy',
  NO_ANSWER: 'no_answer',
  ALLOTTED_TIMEOUT: 'no_answer',
  PROGRESS_TIMEOUT: 'no_answer',
  NO_USER_RESPONSE: 'no_answer',
  RECOVERY_ON_TIMER_EXPIRE: 'unreachable',
  MEDIA_TIMEOUT: 'connection_lost',
  CALL_REJECTED: 'rejected',
  DECLINE: 'rejected',
  USER_NOT_REGISTERED: 'unreachable',
  SUBSCRIBER_ABSENT: 'unreachable',
  UNALLOCATED_NUMBER: 'unreachable',
  NO_ROUTE_DESTINATION: 'unreachable',
  DESTINATION_OUT_OF_ORDER: 'unreachable',
  GATEWAY_DOWN: 'unreachable',
  ORIGINATOR_CANCEL: 'cancelled',
  NORMAL_CLEARING: 'cancelled',
  NODE_DIED: 'lost',
  NODE_UNKNOWN: 'lost',
};

/** How a call ended that was never answered. */
export function outcomeOfCause(cause: string): CallOutcome {
  return OUTCOMES[cause] ?? 'failed';
}

export interface AttemptEnd {
  cause: string;
  /** What the other end of its bridge ended with, where that ended first. */
  partnerCause?: string;
  /** Why we asked for it. */
  hangupReason?: HangupReason | null;
  /** Somebody answered: then the call ends `answered`, but where its node or a phone was lost, or we had a reason. */
  answered: boolean;
  /** The attempt had rung. */
  rang: boolean;
  origin: 'api' | 'phone';
  attempts: number;
  hangupRequested: boolean;
  nowMs: number;
  placeBeforeMs: number;
}

export type AttemptDecision = { next: 'retry' } | { next: 'end'; outcome: CallOutcome };

export const MAX_ATTEMPTS = 3;

/**
 * What follows the end of an attempt. Another node tries where this one refused before it rang, or died before
 * anybody answered: nobody is rung twice who has already said something. NODE_UNKNOWN (the node can't be asked) is
 * never tried again: the phone may be ringing.
 */
export function decideAfterAttempt(end: AttemptEnd): AttemptDecision {
  if (end.answered) {
    return { next: 'end', outcome: outcomeOfTalk(end) };
  }
  if (end.hangupRequested) return { next: 'end', outcome: 'cancelled' };
  const nodeSaidNo = end.cause === 'NODE_DIED' || (NODE_CAUSES.has(end.cause) && !end.rang);
  if (end.origin === 'api' && nodeSaidNo && end.attempts < MAX_ATTEMPTS) return { next: 'retry' };
  return { next: 'end', outcome: outcomeOfCause(end.cause) };
}

function outcomeOfTalk(end: AttemptEnd): CallOutcome {
  if (end.cause === 'NODE_DIED' || end.cause === 'NODE_UNKNOWN') return 'lost';
  if (end.hangupReason) return end.hangupReason;
  if (end.hangupRequested) return 'answered';
  return isPhoneLost(end.cause) || isPhoneLost(end.partnerCause) ? 'connection_lost' : 'answered';
}
