/** The ledger's sums: how long it should have run, how long it did, and what is missing with times and reasons. */
import type { PartRow } from './parts.store';
import type { GapReason, GapRow, RecordingRow } from './recordings.store';

type LedgerPart = Pick<
  PartRow,
  'number' | 'state' | 'started_at' | 'ended_at' | 'node_ms' | 'media_ms' | 'playable' | 'end_reason'
>;
type LedgerGap = Pick<GapRow, 'reason' | 'from_at' | 'to_at'>;
type LedgerRecording = Pick<RecordingRow, 'started_at' | 'ended_at'>;

export type MissingReason = GapReason | 'absent' | 'failed' | 'damaged' | 'not_written';

/** A time in which nothing was recorded, or of which nothing is left. */
export interface Missing {
  reason: MissingReason;
  from: Date;
  /** null while it goes on. */
  to: Date | null;
  /** The part whose file is missing, or lacks it. */
  part: number | null;
  /** How much of the time between is missing. */
  ms: number;
}

export interface Ledger {
  /** Seconds between beginning and end, less the pauses that were asked for and what was on hold and had no sound. */
  expectedSeconds: number;
  recordedSeconds: number;
  /** From 0 to 1. A pause that was asked for is not missing. */
  completeness: number;
  missing: Missing[];
}

const secondsOf = (ms: number): number => Math.round(ms / 100) / 10;

/** @param nowMs counts as the end while it runs */
export function drawLedger(
  recording: LedgerRecording,
  parts: readonly LedgerPart[],
  gaps: readonly LedgerGap[],
  nowMs: number,
): Ledger {
  const fromMs = recording.started_at?.getTime();
  const toMs = recording.ended_at?.getTime() ?? nowMs;
  const pausedMs = sum(gaps.filter((gap) => gap.reason === 'paused').map((gap) => lengthOf(gap, toMs)));
  const recordedMs = sum(parts.map((part) => recordedMsOf(part, gaps, nowMs)));
  const lost = parts.flatMap((part) => lostPart(part, nowMs));
  const unwritten = parts.map((part) => unwrittenOf(part, gaps, nowMs));
  const heldMs = sum(unwritten.map(({ onHoldMs }) => onHoldMs));
  // FreeSWITCH writes nothing of a call on hold, except the music that its other side may hear.
  const expectedMs = fromMs === undefined ? 0 : Math.max(0, toMs - fromMs - pausedMs - heldMs);
  const told = gaps.filter((gap) => gap.reason !== 'held' || heldMs > 0);
  return {
    expectedSeconds: secondsOf(expectedMs),
    recordedSeconds: secondsOf(recordedMs),
    completeness: completenessOf(recordedMs, expectedMs, lost.length > 0),
    missing: [
      ...told.map((gap) => {
        const { reason, from_at: from, to_at: to } = gap;
        return { reason, from, to, part: null, ms: lengthOf(gap, toMs) };
      }),
      ...lost,
      ...unwritten.flatMap(({ missing }) => missing),
    ].sort((a, b) => a.from.getTime() - b.from.getTime()),
  };
}

/** Rounded down, so that 1 is said only where nothing is missing; a node's start and end cost some hundredths. */
function completenessOf(recordedMs: number, expectedMs: number, isLost: boolean): number {
  if (expectedMs <= 0) return isLost ? 0 : 1;
  return Math.min(1, Math.floor((recordedMs / expectedMs) * 1000) / 1000);
}

function recordedMsOf(part: LedgerPart, gaps: readonly LedgerGap[], nowMs: number): number {
  const from = part.started_at?.getTime();
  if (from === undefined || part.state === 'absent' || part.state === 'failed' || part.playable === false) return 0;
  if (part.media_ms !== null) return Number(part.media_ms);
  if (part.node_ms !== null) return Number(part.node_ms);
  const to = part.ended_at?.getTime() ?? nowMs;
  return Math.max(0, to - from - within(gaps, 'stalled', from, to) - within(gaps, 'held', from, to));
}

/** How much of the time between is in gaps of that reason. */
function within(gaps: readonly LedgerGap[], reason: GapReason, fromMs: number, toMs: number): number {
  const inside = gaps.filter((gap) => gap.reason === reason && gap.from_at.getTime() >= fromMs);
  return sum(inside.filter((gap) => gap.from_at.getTime() < toMs).map((gap) => lengthOf(gap, toMs)));
}

/** A node's start and end of a file cost some hundredths, and a video's end up to a second. */
const UNSAID_MS = 1000;

/**
 * What a file lacks of the time in which it was written: a call was on hold, or its node was frozen, or killed before
 * the last of it was on the disk.
 */
function unwrittenOf(
  part: LedgerPart,
  gaps: readonly LedgerGap[],
  nowMs: number,
): { onHoldMs: number; missing: Missing[] } {
  const none = { onHoldMs: 0, missing: [] };
  if (!part.started_at || part.state === 'absent' || part.state === 'failed' || part.playable === false) return none;
  const fromMs = part.started_at.getTime();
  const toMs = part.ended_at?.getTime() ?? nowMs;
  const lackedMs = toMs - fromMs - recordedMsOf(part, gaps, nowMs) - within(gaps, 'stalled', fromMs, toMs);
  const onHoldMs = Math.max(0, Math.min(lackedMs, within(gaps, 'held', fromMs, toMs)));
  const ms = lackedMs - onHoldMs;
  if (!part.ended_at || ms < UNSAID_MS) return { onHoldMs, missing: [] };
  // A node that died lost the end; of one that was frozen nobody knows where in the file it is.
  const from = part.end_reason === 'node_died' ? new Date(toMs - ms) : part.started_at;
  return { onHoldMs, missing: [{ reason: 'not_written', from, to: part.ended_at, part: part.number, ms }] };
}

/** The whole time of a part whose file is not here, or can't be played. */
function lostPart(part: LedgerPart, nowMs: number): Missing[] {
  if (!part.started_at) return [];
  const reason: MissingReason | undefined =
    part.playable === false ? 'damaged' : part.state === 'absent' || part.state === 'failed' ? part.state : undefined;
  const ms = (part.ended_at?.getTime() ?? nowMs) - part.started_at.getTime();
  return reason ? [{ reason, from: part.started_at, to: part.ended_at, part: part.number, ms }] : [];
}

function lengthOf(gap: LedgerGap, untilMs: number): number {
  return Math.max(0, Math.min(gap.to_at?.getTime() ?? untilMs, untilMs) - gap.from_at.getTime());
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
