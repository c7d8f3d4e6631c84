/** Changes a recording in one transaction: its holder changes parts and gaps, and the state and the events follow. */
import { createId } from '../../../infra/ids';
import type { Db, Trx } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import type { EventLog } from '../../events/events';
import type { EventDraft } from '../../events/events.store';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import type { Quotas } from '../../quotas/quotas';
import type { RefuseReport } from '../../nodes/trust/refused-reports';
import { drawLedger } from '../ledger';
import { ENDED, isLiving, isUnexplained, listParts, updatePart, type PartRow } from '../parts.store';
import {
  BREAKS,
  closeGaps,
  dropOpenGaps,
  insertGap,
  listGaps,
  lockRecording,
  updateRecording,
  type GapReason,
  type RecordingRow,
  type RecordingState,
} from '../recordings.store';
import { decideState } from './state-machine';
import type { RecordingStorage } from '../storage/storage';

export interface RecordingDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  quotas: Pick<Quotas, 'take' | 'tryTake' | 'peek' | 'refuse'>;
  links: Pick<NodeConnections, 'api' | 'connection' | 'isUp'>;
  storage: RecordingStorage;
  secretKey: Buffer;
  commandTimeoutMs: number;
  /** How long a completed recording is kept where nothing else was said; null: for ever. */
  keepDays: number | null;
  /** Where nodes reach this Switchyard; undefined: as each node's own XML address says. */
  uploadUrl?: string;
  maxUploadBytes: number;
  now: () => number;
  /** Told of each try to bring a file here that failed. */
  countUploadFailure?: () => void;
  /** Told of what a node says and is not believed. */
  refuseReport?: RefuseReport;
}

export interface Held {
  trx: Trx;
  emit: (draft: EventDraft) => void;
  recording: RecordingRow;
  parts: PartRow[];
}

const DAY_MS = 86_400_000;
const ANY = ['recording', 'paused', 'stopped'] as const;

/** What every event of a recording carries. */
export function draftRecordingEvent(
  type: string,
  recording: RecordingRow,
  data: Record<string, unknown> = {},
): EventDraft {
  return {
    stream: recording.domain_id,
    type,
    roomId: recording.room_id,
    callId: recording.call_id,
    data: { recordingId: recording.id, kind: recording.kind, format: recording.format, ...data },
  };
}

export function draftPartEvent(recording: RecordingRow, part: PartRow, state: string, data = {}): EventDraft {
  const facts = { part: part.number, state, node: part.node_name, ...data };
  return { ...draftRecordingEvent('recording.part', recording, facts), nodeId: part.node_id };
}

/** Runs `change` while nobody else changes this recording; its state is then what its parts make it. */
export async function changeRecording<T>(
  deps: Pick<RecordingDeps, 'log' | 'keepDays' | 'now'>,
  id: string,
  change: (held: Held) => Promise<T>,
): Promise<T | undefined> {
  return deps.log.record(async (trx, emit) => {
    const recording = await lockRecording(trx, id);
    if (!recording) return undefined;
    const result = await change({ trx, emit, recording, parts: await listParts(trx, [id]) });
    await settleState(deps, trx, emit, id);
    return result;
  });
}

async function settleState(
  deps: Pick<RecordingDeps, 'keepDays' | 'now'>,
  trx: Trx,
  emit: Held['emit'],
  id: string,
): Promise<void> {
  const row = (await lockRecording(trx, id))!;
  const parts = await listParts(trx, [id]);
  const gaps = await listGaps(trx, [id]);
  const isInterrupted = gaps.some((gap) => gap.to_at === null && BREAKS.includes(gap.reason));
  const state = decideState(row.desired, parts, { state: row.state, isInterrupted });
  if (state === row.state) return;
  const now = new Date(deps.now());
  const change: Partial<RecordingRow> = { state };
  if (state === 'completed') change.completed_at = row.completed_at ?? now;
  if (OVER.includes(state)) change.expires_at = row.expires_at ?? expiry(deps, row, now);
  await updateRecording(trx, id, ANY, change);
  const ledger = drawLedger(row, parts, gaps, now.getTime());
  const { completeness, recordedSeconds, expectedSeconds } = ledger;
  const bytes = parts.reduce((total, part) => total + Number(part.bytes ?? part.seen_bytes), 0);
  const facts = { reason: row.reason, parts: parts.length, bytes, completeness, recordedSeconds, expectedSeconds };
  emit(draftRecordingEvent(`recording.${state}`, row, facts));
}

/** Nothing more is done by itself. What is damaged or incomplete is kept no longer than what is whole. */
const OVER: readonly RecordingState[] = ['completed', 'absent', 'failed'];

function expiry(deps: { keepDays: number | null }, row: RecordingRow, now: Date): Date | null {
  const days = row.keep_days ?? deps.keepDays;
  return days === null ? null : new Date(now.getTime() + days * DAY_MS);
}

/** The node writes: the gap before it is over, and the recording has begun where it had not. */
export async function markRecording(held: Held, part: PartRow, at: Date): Promise<boolean> {
  const { trx, emit, recording } = held;
  const change = {
    state: 'recording' as const,
    started_at: part.started_at ?? at,
    ended_at: null,
    end_reason: null,
    grown_at: at,
    fault: null,
  };
  if (!(await updatePart(trx, part.id, ['starting', 'absent', 'stopping'], { ...change, looked_at: at }))) return false;
  await closeGaps(trx, recording.id, at, ['paused', ...BREAKS]);
  await updateRecording(trx, recording.id, ANY, { started_at: recording.started_at ?? at, next_try_at: null });
  emit(draftPartEvent(recording, part, 'recording'));
  return true;
}

/** After this long a part has shown that it works: the next trouble has all tries before it again. */
const PROVEN_MS = 10_000;

export interface PartEnd {
  at: Date;
  /** null: it ended by itself, and why is known a moment later (explainEnd()). */
  reason: string | null;
  /** Where its file is expected: on the node, or nowhere that can be reached now. */
  to: 'uploading' | 'absent' | 'failed';
  nodeMs?: number;
  fault?: string;
  /** What the time after it is called, as long as it should go on. */
  gap?: GapReason;
}

/** The node no longer writes this part. What follows from that is decided by the next step. */
export async function endPart(held: Held, part: PartRow, end: PartEnd): Promise<boolean> {
  const { trx, emit, recording } = held;
  const at = part.started_at && end.at < part.started_at ? part.started_at : end.at;
  const done = await updatePart(trx, part.id, ['starting', 'recording', 'stopping'], {
    state: end.to,
    ended_at: part.started_at ? at : null,
    end_reason: end.reason,
    node_ms: end.nodeMs === undefined ? null : String(Math.round(end.nodeMs)),
    stalled: false,
    tries: 0,
    fault: end.fault ?? null,
    next_try_at: end.to === 'uploading' ? new Date(at) : null,
  });
  if (!done) return false;
  await closeGaps(trx, recording.id, at, ['stalled', 'held']);
  const lasted = part.started_at ? at.getTime() - part.started_at.getTime() : 0;
  const gap = recording.desired === 'paused' ? 'paused' : end.gap;
  const goesOn = recording.desired !== 'stopped' && recording.started_at !== null;
  if (goesOn && gap && lasted > 0) await openGap(trx, recording.id, gap, at);
  await updateRecording(trx, recording.id, ['recording', 'paused'], {
    next_try_at: at,
    ...(lasted > PROVEN_MS ? { tries: 0 } : {}),
  });
  if (recording.desired === 'stopped') await closeRecording(held, part.started_at ? at : (endOfLast(held) ?? at));
  const facts = { ...(end.reason ? { reason: end.reason } : {}), ...(end.fault ? { fault: end.fault } : {}) };
  emit(draftPartEvent(recording, part, end.to, facts));
  return true;
}

/** Says why the last part ended, where it had ended by itself. @param gap what the time after it is called, as long as it goes on */
export async function explainEnd(held: Held, reason: string, gap?: GapReason): Promise<boolean> {
  const { trx, recording, parts } = held;
  const part = parts.findLast(isUnexplained);
  if (!part) return false;
  await updatePart(trx, part.id, ENDED, { end_reason: reason });
  if (gap) await openGap(trx, recording.id, gap, part.ended_at!);
  await updateRecording(trx, recording.id, ['recording', 'paused'], { next_try_at: part.ended_at });
  return true;
}

const endOfLast = ({ parts }: Held): Date | null | undefined => parts.findLast((part) => part.ended_at)?.ended_at;

/** Those that go on beside a part that runs. */
const BESIDE: readonly GapReason[] = ['stalled', 'held'];

export async function openGap(trx: Trx, recordingId: string, reason: GapReason, from: Date): Promise<void> {
  const open = (await listGaps(trx, [recordingId])).filter((gap) => gap.to_at === null);
  const isSaid = BESIDE.includes(reason)
    ? open.some((gap) => gap.reason === reason)
    : open.some((gap) => !BESIDE.includes(gap.reason));
  if (isSaid) return;
  await insertGap(trx, { id: createId(), recording_id: recordingId, reason, from_at: from });
}

/**
 * No more is recorded: a pause lasts until now, and what looked like an interruption was the end. Called when it is
 * desired, and again with the real end of the last part.
 */
async function closeRecording(held: Held, at: Date, ends: readonly GapReason[] = ['interrupted']): Promise<void> {
  const { trx, recording } = held;
  await dropOpenGaps(trx, recording.id, ends);
  await closeGaps(trx, recording.id, at, ['paused', 'node_died', 'moved', 'held']);
  await updateRecording(trx, recording.id, ANY, { ended_at: recording.started_at ? at : null, next_try_at: null });
}

/** The desired state ends; a part that still runs is stopped by the next step. */
export async function finishRecording(held: Held, reason: string, at: Date): Promise<void> {
  const { trx, recording, parts } = held;
  if (recording.desired === 'stopped') return;
  await updateRecording(trx, recording.id, ['recording', 'paused'], {
    desired: 'stopped',
    reason,
    next_try_at: null,
    tries: 0,
  });
  if (parts.some(isLiving)) {
    await updateRecording(trx, recording.id, ['stopped'], { next_try_at: at });
    return;
  }
  const last = endOfLast(held);
  const isOwnEnd = await explainEnd(held, reason);
  // Where the room or call was over, what looked like a break before it was the end: nobody was there to be recorded.
  const ends = ASKED.includes(reason) ? (['interrupted'] as const) : BREAKS;
  const isBreak = (await listGaps(trx, [recording.id])).some(
    (gap) => gap.to_at === null && ends.some((e) => e === gap.reason),
  );
  await closeRecording(held, (isOwnEnd || isBreak) && last ? last : at, ends);
}

/** Somebody ended it who may have desired more until then. */
const ASKED: readonly string[] = ['stopped', 'quota_exceeded'];
