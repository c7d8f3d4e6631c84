/** What can be done with a recording: begin it, hold it, go on, end it, look at it, try its files again, remove it. */
import { SwitchyardError } from '../../errors';
import { violatedUnique, type Queryable } from '../../infra/stores/db';
import { createId } from '../../infra/ids';
import type { Caller } from '../../infra/route';
import { findCall, findLastAttempt, type CallRow } from '../calls/calls.store';
import { recordingFeature } from '../nodes/features/features';
import { requireFeature } from '../nodes/features/require-feature';
import { mayUseDomain } from '../domains/domains';
import { findLivingSession } from '../rooms/sessions/sessions.store';
import { stepRecording } from './control/reconcile';
import {
  changeRecording,
  draftRecordingEvent,
  explainEnd,
  finishRecording,
  openGap,
  type RecordingDeps,
} from './control/transition';
import { retryPart } from './control/reconcile-node';
import { isDamaged, isLiving, listParts, updatePart } from './parts.store';
import {
  findRecording,
  findRunning,
  insertLeftover,
  insertRecording,
  updateRecording,
  type NewRecording,
  type RecordingFormat,
  type RecordingRow,
} from './recordings.store';
import { presentRecordings, type RecordingView } from './view';
import { requireRoom } from '../rooms/require-room';

export interface NewRecordingRequest {
  format: RecordingFormat;
  keepDays?: number;
  metadata?: Record<string, string>;
}

/** @throws not_found, also for a recording of another domain */
export async function requireRecording(deps: RecordingDeps, id: string, caller: Caller): Promise<RecordingRow> {
  const row = await findRecording(deps.db, id);
  if (!row || !mayUseDomain(caller, row.domain_id)) throw new SwitchyardError('not_found', 'No such recording.');
  return row;
}

async function presentRecordingOf(deps: RecordingDeps, id: string): Promise<RecordingView> {
  const row = await findRecording(deps.db, id);
  if (!row) throw new SwitchyardError('not_found', 'No such recording.');
  return (await presentRecordings(deps.db, [row], deps.now()))[0]!;
}

/** @throws conflict where nobody is in the room, or it is recorded already; feature_missing where its node can't */
export async function recordRoomOf(
  deps: RecordingDeps,
  roomId: string,
  caller: Caller,
  asked: NewRecordingRequest,
): Promise<RecordingView> {
  const room = await requireRoom(deps.db, caller, roomId);
  const session = await findLivingSession(deps.db, room.id);
  if (session?.state !== 'live') {
    throw new SwitchyardError(
      'conflict',
      'Nobody is in the room. To record from the start, use the room\'s setting "record".',
    );
  }
  if (session.node_id) await requireFeature(deps, session.node_id, recordingFeature(asked.format));
  const of = { kind: 'room' as const, room_id: room.id, meeting_id: session.meeting_id, domain_id: room.domain_id };
  return begin(deps, of, asked);
}

/** @throws not_found, also for a call of another domain */
async function requireCall(db: Queryable, caller: Caller, id: string): Promise<CallRow> {
  const call = await findCall(db, id);
  if (!call || !mayUseDomain(caller, call.domain_id)) throw new SwitchyardError('not_found', 'No such call.');
  return call;
}

/** @throws conflict where the call is not answered, or is recorded already; feature_missing where its node can't */
async function recordCallOf(
  deps: RecordingDeps,
  callId: string,
  caller: Caller,
  asked: NewRecordingRequest,
): Promise<RecordingView> {
  const call = await requireCall(deps.db, caller, callId);
  const attempt = await findLastAttempt(deps.db, callId);
  if (call.state !== 'answered' || !attempt?.node_id) {
    throw new SwitchyardError('conflict', `Only an answered call can be recorded; this one is ${call.state}.`);
  }
  await requireFeature(deps, attempt.node_id, recordingFeature(asked.format));
  const of = { kind: 'call' as const, call_id: call.id, leg_id: attempt.leg_id, domain_id: call.domain_id };
  return begin(deps, of, asked);
}

async function begin(
  deps: RecordingDeps,
  of: Omit<NewRecording, 'id'> & { domain_id: string },
  asked: NewRecordingRequest,
): Promise<RecordingView> {
  const id = createId(deps.now());
  try {
    await deps.log.record(async (trx, emit) => {
      await deps.quotas.take(trx, of.domain_id, { recordings: 1, recordedBytes: 1 });
      await insertRecording(trx, {
        id,
        ...of,
        format: asked.format,
        origin: 'api',
        desired: 'recording',
        state: 'starting',
        next_try_at: new Date(deps.now()),
        keep_days: asked.keepDays ?? null,
        metadata: asked.metadata ?? {},
      });
      const row = await findRecording(trx, id);
      if (row) emit(draftRecordingEvent('recording.starting', row, { origin: 'api' }));
    });
  } catch (error) {
    if (violatedUnique(error)) throw new SwitchyardError('conflict', 'It is already being recorded.', { cause: error });
    throw error;
  }
  await stepNow(deps, id);
  return presentRecordingOf(deps, id);
}

/** The node may be unavailable now: then the sweep goes on. */
async function stepNow(deps: RecordingDeps, id: string): Promise<void> {
  await stepRecording(deps, id).catch((error: unknown) => {
    deps.logger.warn({ err: error, recordingId: id }, 'a recording could not be brought on at once');
  });
}

export type RecordingAction = 'stop' | 'pause' | 'resume';

/** Changes the desired state; answers at once, while the node is told. The same desired state twice is no fault. @throws conflict */
export async function actOnRecording(deps: RecordingDeps, id: string, action: RecordingAction): Promise<RecordingView> {
  await changeRecording(deps, id, async (held) => {
    const { trx, recording, parts } = held;
    const at = new Date(deps.now());
    if (action === 'stop') return finishRecording(held, 'stopped', at);
    if (recording.desired === 'stopped') {
      throw new SwitchyardError('conflict', `The recording is ${recording.state}: it can no longer be ${action}d.`);
    }
    const desired = action === 'pause' ? 'paused' : 'recording';
    if (desired === recording.desired) return;
    if (desired === 'paused') await explainEnd(held, 'paused');
    await updateRecording(trx, id, [recording.desired], { desired, next_try_at: at, tries: 0 });
    // Where a part runs, the pause begins when the node has closed it.
    if (desired === 'paused' && recording.started_at && !parts.some(isLiving)) await openGap(trx, id, 'paused', at);
  });
  await stepNow(deps, id);
  return presentRecordingOf(deps, id);
}

/** What `POST /v1/calls/{id}/record` does: begins one, or acts on the one that runs. @throws conflict */
export async function actOnCallRecording(
  deps: RecordingDeps,
  callId: string,
  caller: Caller,
  asked: NewRecordingRequest & { action: 'start' | RecordingAction },
): Promise<RecordingView> {
  if (asked.action === 'start') return recordCallOf(deps, callId, caller, asked);
  await requireCall(deps.db, caller, callId);
  const running = await findRunning(deps.db, { callId });
  if (!running) throw new SwitchyardError('conflict', 'The call is not being recorded.');
  return actOnRecording(deps, running.id, asked.action);
}

/** Looks again for files that could not be brought here. @throws conflict where there are none */
export async function retryRecording(deps: RecordingDeps, id: string): Promise<RecordingView> {
  const parts = (await listParts(deps.db, [id])).filter((part) => part.ended_at && part.node_copy && !isDamaged(part));
  const tried = await Promise.all(parts.map((part) => retryPart(deps, part)));
  if (!tried.includes(true)) throw new SwitchyardError('conflict', 'Nothing to retry: no file is waiting on a node.');
  return presentRecordingOf(deps, id);
}

/** @param expiresAt null: kept for ever */
export async function setExpiry(deps: RecordingDeps, id: string, expiresAt: Date | null): Promise<RecordingView> {
  await updateRecording(deps.db, id, ['recording', 'paused', 'stopped'], { expires_at: expiresAt });
  return presentRecordingOf(deps, id);
}

/** Removes the files, here and on nodes; what was recorded when stays readable. @throws conflict while it runs */
export async function removeRecording(deps: RecordingDeps, id: string, reason: 'asked' | 'expired'): Promise<void> {
  const keys = await changeRecording(deps, id, async ({ trx, emit, recording, parts }) => {
    if (recording.deleted_at) return [];
    if (recording.desired !== 'stopped' || parts.some(isLiving)) {
      throw new SwitchyardError('conflict', `The recording is ${recording.state}: stop it first.`);
    }
    const now = new Date(deps.now());
    for (const part of parts) {
      await updatePart(trx, part.id, ['uploading', 'stored', 'absent', 'failed'], {
        state: 'deleted',
        next_try_at: part.node_copy ? now : null,
      });
    }
    await updateRecording(trx, id, ['stopped'], { deleted_at: now });
    emit(draftRecordingEvent('recording.deleted', recording, { reason }));
    return parts.flatMap((part) => part.storage_key ?? []);
  });
  for (const key of keys ?? []) {
    await deps.storage.remove(key).catch(async (error: unknown) => {
      deps.logger.warn({ err: error, recordingId: id }, 'a deleted recording is still in the store; tried again');
      await insertLeftover(deps.db, key);
    });
  }
}
