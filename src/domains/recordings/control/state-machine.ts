/** Decides about recordings, and does nothing: which state the desired state and the parts make, and what to do next. */
import { isLiving, isUnexplained, type PartRow } from '../parts.store';
import type { GapReason, RecordingRow, RecordingState, DesiredRecordingState } from '../recordings.store';
import { backoffMs } from '../../../infra/flow/backoff';

/** What was told of it before, which is never taken back. */
export interface Told {
  state: RecordingState;
  /** Something should be recorded now, and nothing is: its node died, the room moves, or the file ended too early. */
  isInterrupted: boolean;
}

/**
 * The state of the whole, from what is desired and what is true of its parts. It goes forward: where a part has just
 * ended by itself nobody knows yet whether that was the end, and until then it stays what it was.
 */
export function decideState(
  desired: DesiredRecordingState,
  parts: readonly Pick<PartRow, 'state' | 'started_at'>[],
  told: Told,
): RecordingState {
  const has = (...states: PartRow['state'][]): boolean => parts.some((part) => states.includes(part.state));
  if (desired === 'recording') {
    if (has('recording')) return 'recording';
    return told.isInterrupted ? 'interrupted' : told.state;
  }
  if (has('starting', 'recording', 'stopping')) return 'stopping';
  if (desired === 'paused') return 'paused';
  if (has('uploading')) return 'uploading';
  // A part that never began took nothing with it, where others were recorded.
  if (parts.some((part) => part.state === 'failed' && part.started_at !== null)) return 'failed';
  if (has('absent')) return 'absent';
  return has('stored', 'deleted') ? 'completed' : 'failed';
}

/** What there is to record right now. */
export type Target =
  | { is: 'there'; nodeId: string; nodeName: string; sessionId: string | null; legId: string | null }
  /** Nobody is in the room now, or it is on its way to another node: `tornOff` says why, where that is known. */
  | { is: 'awaited'; tornOff?: GapReason }
  | { is: 'over'; reason: string };

export type Step =
  | { do: 'nothing' }
  | { do: 'look again'; inMs: number }
  /** Makes a part and tells the node to start it. */
  | { do: 'start' }
  /** Tells the node once more. */
  | { do: 'start again'; part: PartRow }
  | { do: 'stop'; part: PartRow }
  /** Asks the node whether it writes that file: its event may have been lost. */
  | { do: 'check'; part: PartRow }
  /** Says why a part ended that ended by itself: not because the room or call was over. */
  | { do: 'explain'; reason: GapReason }
  | { do: 'finish'; reason: string }
  | { do: 'give up'; part: PartRow | undefined };

/** How long an event may take; after it the node is asked. */
export const EVENT_MS = 1500;
const MAX_TRIES = 5;
/** A file ends a moment before its call: only after this long its end was none of the call's. */
const SETTLE_MS = 700;
/** A room whose node died is awaited this long on another one. */
const AWAIT_MS = 1000;

/** Doubling from half a second; jitter is not needed, since each recording is tried by one replica. */
export const pauseAfter = (tries: number): number => backoffMs(tries, { firstMs: 500, longestMs: 30_000 });

/** @param parts all of them, in order */
export function decideStep(
  recording: Pick<RecordingRow, 'desired' | 'tries'>,
  parts: readonly PartRow[],
  target: Target,
  nowMs: number,
): Step {
  const living = parts.find(isLiving);
  const waitsMs = living?.commanded_at ? living.commanded_at.getTime() + EVENT_MS - nowMs : 0;
  if (living && recording.desired !== 'recording') {
    if (living.state !== 'stopping') return { do: 'stop', part: living };
    return waitsMs > 0 ? { do: 'look again', inMs: waitsMs } : { do: 'check', part: living };
  }
  if (recording.desired === 'stopped') return { do: 'nothing' };
  if (target.is === 'over' && !living) return { do: 'finish', reason: target.reason };
  if (recording.desired === 'paused') return { do: 'look again', inMs: 5 * AWAIT_MS };
  if (living) {
    if (living.state === 'recording' && isOf(living, target)) return { do: 'nothing' };
    if (waitsMs > 0) return { do: 'look again', inMs: waitsMs };
    return { do: 'check', part: living };
  }
  const unexplained = parts.findLast(isUnexplained);
  if (target.is === 'awaited') {
    if (unexplained && target.tornOff) return { do: 'explain', reason: target.tornOff };
    return { do: 'look again', inMs: AWAIT_MS };
  }
  if (target.is !== 'there') return { do: 'look again', inMs: AWAIT_MS };
  if (unexplained) {
    const settlesMs = unexplained.ended_at!.getTime() + SETTLE_MS - nowMs;
    return settlesMs > 0 ? { do: 'look again', inMs: settlesMs } : { do: 'explain', reason: 'interrupted' };
  }
  return recording.tries >= MAX_TRIES ? { do: 'give up', part: undefined } : { do: 'start' };
}

function isOf(part: PartRow, target: Target): boolean {
  if (target.is !== 'there') return false;
  return target.sessionId === null ? target.legId === part.leg_id : target.sessionId === part.session_id;
}

/** What a look at the node means for a part that its events left unclear. */
export function decideAfterCheck(
  recording: Pick<RecordingRow, 'desired' | 'tries'>,
  part: PartRow,
  target: Target,
  isWritten: boolean,
): Step | { do: 'mark recording' | 'mark ended' } {
  if (isWritten) {
    if (recording.desired === 'recording' && isOf(part, target)) return { do: 'mark recording' };
    return { do: 'stop', part };
  }
  if (part.state !== 'starting') return { do: 'mark ended' };
  if (recording.desired !== 'recording' || !isOf(part, target)) return { do: 'mark ended' };
  return recording.tries >= MAX_TRIES ? { do: 'give up', part } : { do: 'start again', part };
}
