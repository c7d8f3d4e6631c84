/** Says what a hangup cause means for a call: how it ended, or that another node should try. Pure. */

import { isPhoneLost } from '../../../freeswitch/esl';

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

/**
 * Causes that FreeSWITCH makes of a SIP answer and of nothing else (sofia_glue_sip_cause_to_freeswitch; a refused transport
 * is a 503 of its own, a redirection sofia.c 6855): they are the word of whoever was rung.
 */
export const ANSWERED_CAUSES: ReadonlySet<string> = new Set([
  'NORMAL_TEMPORARY_FAILURE',
  'NETWORK_OUT_OF_ORDER',
  'REQUESTED_CHAN_UNAVAIL',
]);

/** Causes by which it is sure that it was the node, or that it is gone. */
const SURE_CAUSES = new Set(['NODE_DIED', 'NODE_REFUSED', 'MANAGER_REQUEST', 'SYSTEM_SHUTDOWN']);

/** Whether it must be known who failed: by the cause alone it may be the node as well as the phone. */
export const isDoubtful = (cause: string): boolean => NODE_CAUSES.has(cause) && !SURE_CAUSES.has(cause);

export interface AttemptEnd {
  cause: string;
  /** What the other end of its bridge ended with, where that ended first. */
  partnerCause?: string;
  /** Why we asked for it. */
  hangupReason?: HangupReason | null;
  /** Who failed, where the cause leaves it in doubt. */
  failed: 'node' | 'phone';
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

const MAX_ATTEMPTS = 3;

/**
 * What follows the end of an attempt. Another node tries where this one refused before it rang, or died before
 * anybody answered: nobody is rung twice who has already said something. A phone's failure is no node's: its contact hangs
 * on one node, and any other reaches it only through that one. NODE_UNKNOWN (the node can't be asked) is
 * never tried again: the phone may be ringing.
 */
export function decideAfterAttempt(end: AttemptEnd): AttemptDecision {
  if (end.answered) {
    return { next: 'end', outcome: outcomeOfTalk(end) };
  }
  if (end.hangupRequested) return { next: 'end', outcome: 'cancelled' };
  const isPhones = end.failed === 'phone' && isDoubtful(end.cause);
  const nodeSaidNo = end.cause === 'NODE_DIED' || (NODE_CAUSES.has(end.cause) && !end.rang && !isPhones);
  if (end.origin === 'api' && nodeSaidNo && end.attempts < MAX_ATTEMPTS) return { next: 'retry' };
  return { next: 'end', outcome: isPhones ? 'unreachable' : outcomeOfCause(end.cause) };
}

function outcomeOfTalk(end: AttemptEnd): CallOutcome {
  if (end.cause === 'NODE_DIED' || end.cause === 'NODE_UNKNOWN') return 'lost';
  if (end.hangupReason) return end.hangupReason;
  if (end.hangupRequested) return 'answered';
  return isPhoneLost(end.cause) || isPhoneLost(end.partnerCause) ? 'connection_lost' : 'answered';
}
