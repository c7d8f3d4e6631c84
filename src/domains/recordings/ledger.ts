/** The ledger's sums: how long it should have run, how long it did, and what is missing with times and reasons. */
import type { PartRow } from './parts.store';
import type { GapReason, GapRow, RecordingRow } from './recordings.store';

type LedgerPart = Pick<
  PartRow,
  'number' | 'state' | 'started_at' | 'ended_at' | 'node_ms' | 'media_ms' | 'playable' | 'end_reason'
>;
type LedgerGap = Pick<GapRow, 'reason' | 'from_at' | 'to_at'>;
type LedgerRecording = Pick<RecordingRow, 'started_at' | 'ended_at'>;

export type MissingReason = GapReason | 'absent' | 'failed' | 'damaged';

/** A time in which nothing was recorded, or of which nothing is left. */
export interface Missing {
  reason: MissingReason;
  from: Date;
  /** null while it goes on. */
  to: Date | null;
  /** The part whose file is missing, where it is that. */
  part: number | null;
}

export interface Ledger {
  /** Seconds between beginning and end, less the pauses that were asked for. */
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
  const expectedMs = fromMs === undefined ? 0 : Math.max(0, toMs - fromMs - pausedMs);
  const recordedMs = sum(parts.map((part) => recordedMsOf(part, gaps, nowMs)));
  const lost = parts.flatMap((part) => lostPart(part));
  return {
    expectedSeconds: secondsOf(expectedMs),
    recordedSeconds: secondsOf(recordedMs),
    completeness: completenessOf(recordedMs, expectedMs, lost.length > 0),
    missing: [
      ...gaps.map((gap) => ({ reason: gap.reason, from: gap.from_at, to: gap.to_at, part: null })),
      ...lost,
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
  const stalled = gaps.filter((gap) => gap.reason === 'stalled' && gap.from_at.getTime() >= from);
  const stalledMs = sum(stalled.filter((gap) => gap.from_at.getTime() < to).map((gap) => lengthOf(gap, to)));
  return Math.max(0, to - from - stalledMs);
}

/** The whole time of a part whose file is not here, or can't be played. */
function lostPart(part: LedgerPart): Missing[] {
  if (!part.started_at) return [];
  const reason: MissingReason | undefined =
    part.state === 'absent' || part.state === 'failed' ? part.state : part.playable === false ? 'damaged' : undefined;
  return reason ? [{ reason, from: part.started_at, to: part.ended_at, part: part.number }] : [];
}

function lengthOf(gap: LedgerGap, untilMs: number): number {
  return Math.max(0, Math.min(gap.to_at?.getTime() ?? untilMs, untilMs) - gap.from_at.getTime());
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
