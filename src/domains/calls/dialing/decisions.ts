/** What is to be done with a call that nobody has answered yet: pure, from what is written, what a node says, and the time. */
import type { AttemptRow, CallRow } from '../calls.store';

export type QueuedStep =
  | { do: 'leave' }
  | { do: 'end'; outcome: 'cancelled' | 'no_capacity' }
  | { do: 'place' }
  /** First what may still ring for the attempt before is ended. */
  | { do: 'silence'; attempt: AttemptRow };

type QueuedCall = Pick<CallRow, 'state' | 'hangup_requested_at' | 'place_before'>;

/** What a worker does with a call whose turn has come. */
export function decideQueued(call: QueuedCall | undefined, last: AttemptRow | undefined, nowMs: number): QueuedStep {
  if (call?.state !== 'queued') return { do: 'leave' };
  if (call.hangup_requested_at) return { do: 'end', outcome: 'cancelled' };
  if (isTooLate(call, nowMs)) return { do: 'end', outcome: 'no_capacity' };
  // A node that died hangs up nothing: see cancel-stale-ringing.ts.
  if (last?.hangup_cause === 'NODE_DIED') return { do: 'silence', attempt: last };
  return { do: 'place' };
}

export const isTooLate = (call: Pick<CallRow, 'place_before'>, nowMs: number): boolean =>
  nowMs > call.place_before.getTime();

/** A leg placed this shortly ago may not have reached its node: originate asks for the way to the phone first. */
export const YOUNG_MS = 5000;
/** A channel that is gone has an event with its true cause under way: it is waited for this long. */
const GONE_LIMIT_MS = 3000;
/** How long a node that can't be asked may stay silent before a call that nobody answered is given up as lost. */
const UNKNOWN_LIMIT_MS = 20_000;
/** Who asked for a call's end has told the node; it is told again where the call goes on after this. */
export const HANGUP_AGAIN_MS = 1500;

/** A call that is placed or rings, as the sweep sees it. */
export interface UnansweredCall {
  state: 'placing' | 'ringing';
  placedMs: number;
  hangupRequestedMs: number | undefined;
  /** `left`: it is in the pool no more. `refused`: it is down, and its process is gone for sure. `away`: it can't be asked. */
  node: 'up' | 'away' | 'refused' | 'left';
  /** Since when the node is away. */
  awayMs: number | undefined;
  /** What the node says of the leg: undefined where it was not asked. */
  says: 'there' | 'gone' | 'unknown' | undefined;
  /** Since when it has said that the leg is gone. */
  goneMs: number | undefined;
}

export type UnansweredStep =
  { do: 'wait' } | { do: 'ask' } | { do: 'hang up' } | { do: 'settle'; cause: 'NODE_DIED' | 'NODE_UNKNOWN' };

/**
 * The slow net below events and the answer to originate: both may be lost, with a connection or a whole replica. A call
 * that rings on a node that is up has a channel there, and the comparison of channels finds it where it ends unseen.
 */
export function decideUnanswered(call: UnansweredCall, nowMs: number): UnansweredStep {
  if (call.node === 'left' || call.node === 'refused') return { do: 'settle', cause: 'NODE_DIED' };
  if (call.node === 'away') {
    const silentMs = nowMs - Math.max(call.awayMs ?? nowMs, call.placedMs);
    return silentMs > UNKNOWN_LIMIT_MS ? { do: 'settle', cause: 'NODE_UNKNOWN' } : { do: 'wait' };
  }
  if (call.says === 'gone' && call.goneMs !== undefined && nowMs - call.goneMs > GONE_LIMIT_MS) {
    return { do: 'settle', cause: 'NODE_UNKNOWN' };
  }
  const mayBeMissing = call.state === 'placing' && nowMs - call.placedMs > YOUNG_MS;
  if (mayBeMissing && call.says === undefined) return { do: 'ask' };
  const isUnwanted = call.hangupRequestedMs !== undefined && nowMs - call.hangupRequestedMs > HANGUP_AGAIN_MS;
  return isUnwanted ? { do: 'hang up' } : { do: 'wait' };
}
