/** Takes in what nodes and rooms report of recordings; what was missed is found by comparing and by the sweeps. */
import type { NodeEvent } from '../../../freeswitch/esl';
import { violatedUnique } from '../../../infra/stores/db';
import { createId } from '../../../infra/ids';
import { keepableText } from '../../../infra/text/plain-text';
import { explainMissing } from '../../nodes/features/require-feature';
import type { NodeRow } from '../../nodes/nodes.store';
import { boundTime } from '../../nodes/trust/bounded-time';
import type { SessionRow } from '../../rooms/sessions/sessions.store';
import { reasonOfEnd, stepLater } from './reconcile';
import {
  changeRecording,
  draftPartEvent,
  draftRecordingEvent,
  endPart,
  explainEnd,
  markRecording,
  type Held,
  type RecordingDeps,
} from './transition';
import { isHold, handleHold } from './holds';
import { partIdOf } from './node-files';
import { findPart, isLiving, LIVING, listPartsOfDeadNodes, updatePart, type PartRow } from '../parts.store';
import {
  findRecording,
  findRunning,
  hasRecordingOfMeeting,
  insertRecording,
  updateRecording,
} from '../recordings.store';

/** How long a node nobody can ask may come back before its files count as absent. */
const SILENCE_LIMIT_MS = 30_000;

interface Report {
  phase: 'started' | 'refused' | 'stopped';
  partId: string;
  atMs: number;
  durationMs?: number;
}

function readReport(event: NodeEvent): Report | undefined {
  if (event.type === 'record') {
    const partId = partIdOf(event.path);
    return partId ? { phase: event.phase, partId, atMs: event.atMs, durationMs: event.durationMs } : undefined;
  }
  if (event.type !== 'room' || (event.action !== 'start-recording' && event.action !== 'stop-recording')) {
    return undefined;
  }
  const partId = partIdOf(event.path);
  if (!partId) return undefined; // a relay, or somebody's own
  if (event.action === 'start-recording') {
    return { phase: event.fields.Error ? 'refused' : 'started', partId, atMs: event.atMs };
  }
  return { phase: 'stopped', partId, atMs: event.atMs, durationMs: Number(event.fields['Milliseconds-Elapsed']) || 0 };
}

export async function handleRecordingEvent(deps: RecordingDeps, node: NodeRow, event: NodeEvent): Promise<void> {
  if (isHold(event)) return handleHold(deps, node, event);
  const report = readReport(event);
  if (!report) return;
  const part = await findPart(deps.db, report.partId);
  if (!part) return;
  if (part.node_id !== node.id) {
    deps.refuseReport?.(node, 'recording', { part: part.id });
    return;
  }
  const sinceMs = part.requested_at.getTime();
  const { at, isMoved } = boundTime(report.atMs, sinceMs, deps.now());
  if (isMoved) deps.refuseReport?.(node, 'time', { part: part.id });
  // No file is longer than the time since it was asked for.
  const durationMs = Math.min(report.durationMs ?? 0, Math.max(0, at.getTime() - sinceMs));
  await changeRecording(deps, part.recording_id, async (held) => {
    const now = held.parts.find(({ id }) => id === part.id) ?? part;
    if (report.phase === 'refused') await noteRefusal(held, now);
    else if (report.phase === 'started') await takeStart(held, now, at);
    else await takeStop(held, now, at, durationMs);
  });
  await stepLater(deps, part.recording_id);
}

/** A file that could not be opened is tried again; FreeSWITCH tells of its end as well, which says nothing more. */
async function noteRefusal(held: Held, part: PartRow): Promise<void> {
  await updatePart(held.trx, part.id, ['starting'], { fault: 'the node could not open the file' });
}

async function takeStart(held: Held, part: PartRow, at: Date): Promise<void> {
  if (part.state === 'starting') await markRecording(held, part, at);
  // It was told to stop before it had begun: its beginning is known now, and the stop is told again by the next step.
  else if (part.state === 'stopping' && !part.started_at) {
    await updatePart(held.trx, part.id, ['stopping'], { started_at: at });
    await updateRecording(held.trx, held.recording.id, ['recording', 'paused', 'stopped'], {
      started_at: held.recording.started_at ?? at,
    });
  }
}

async function takeStop(held: Held, part: PartRow, at: Date, durationMs: number): Promise<void> {
  if (part.state === 'starting' && durationMs === 0) return;
  const from = part.started_at ?? (durationMs > 0 ? new Date(at.getTime() - durationMs) : undefined);
  const known = from && !part.started_at ? { ...part, started_at: from } : part;
  if (from && !part.started_at) await updatePart(held.trx, part.id, LIVING, { started_at: from });
  await endPart(held, known, {
    at,
    reason: reasonOfEnd(held.recording, known),
    to: from ? 'uploading' : 'failed',
    nodeMs: durationMs,
    fault: from ? undefined : (part.fault ?? 'it ended before it began'),
  });
}

/** A room that is recorded from the start, and one whose recording came with it from another node. */
export async function onSessionLive(deps: RecordingDeps, session: SessionRow): Promise<void> {
  const running = await findRunning(deps.db, { roomId: session.room_id });
  if (running) return stepLater(deps, running.id);
  if (session.settings.record !== true || (await hasRecordingOfMeeting(deps.db, session.meeting_id))) return;
  const missing = session.node_id ? await explainMissing(deps, session.node_id, 'mp4_recordings') : undefined;
  const lack = missing && keepableText(`feature_missing: ${missing.what}`, 200);
  const id = createId(deps.now());
  const at = new Date(deps.now());
  const of = { id, domain_id: session.domain_id, kind: 'room' as const, room_id: session.room_id };
  try {
    const refusal = await deps.log.record(async (trx, emit) => {
      const refused = lack
        ? undefined
        : await deps.quotas.tryTake(trx, session.domain_id, { recordings: 1, recordedBytes: 1 });
      // A room that should be recorded and is not must be found by whoever looks for the recording.
      const begun =
        refused || lack
          ? { desired: 'stopped' as const, state: 'failed' as const, reason: lack ?? 'quota_exceeded', ended_at: at }
          : { desired: 'recording' as const, state: 'starting' as const, next_try_at: at };
      const what = { meeting_id: session.meeting_id, format: 'mp4' as const, origin: 'room' as const };
      await insertRecording(trx, { ...of, ...what, ...begun });
      const row = await findRecording(trx, id);
      const why = refused ? { reason: 'quota_exceeded', quota: refused.quota } : lack ? { reason: lack } : {};
      const data = { origin: 'room', ...why };
      if (row) emit(draftRecordingEvent(`recording.${begun.state}`, row, data));
      return refused;
    });
    if (refusal) return deps.quotas.refuse(session.domain_id, refusal);
    if (lack) return;
  } catch (error) {
    if (violatedUnique(error)) return; // somebody was faster
    throw error;
  }
  await stepLater(deps, id);
}

/** The session's node no longer holds the room: what it wrote so far is a part, wherever the room goes on. */
export async function onSessionEnded(deps: RecordingDeps, session: SessionRow): Promise<void> {
  const running = await findRunning(deps.db, { roomId: session.room_id });
  if (!running || running.meeting_id !== session.meeting_id) return;
  const reason = session.end_reason;
  const isDead = reason === 'node_died' || reason === 'lost';
  if (isDead || reason === 'moved') {
    const at = session.ended_at ?? new Date(deps.now());
    await changeRecording(deps, running.id, async (held) => {
      const part = held.parts.find((p) => isLiving(p) && p.session_id === session.id);
      // A node that was told to stop ends its files before it goes.
      if (!part) return void (await explainEnd(held, reason, isDead ? 'node_died' : 'moved'));
      // A node that only lost the room still ends its file by itself, and tells when it has.
      if (isDead) await endPart(held, part, { at, reason: 'node_died', to: 'absent', gap: 'node_died' });
      else await endPart(held, part, { at, reason: 'moved', to: 'uploading', gap: 'moved' });
    });
  }
  await stepLater(deps, running.id);
}

/** Files on nodes that are dead can't be brought here now: said, and looked for when the node is back. */
export async function markDeadParts(deps: RecordingDeps): Promise<void> {
  const now = deps.now();
  for (const part of await listPartsOfDeadNodes(deps.db, new Date(now - SILENCE_LIMIT_MS))) {
    await changeRecording(deps, part.recording_id, async (held) => {
      if (isLiving(part)) {
        const at = part.looked_at ?? part.grown_at ?? new Date(now);
        await endPart(held, part, { at, reason: 'node_died', to: 'absent', gap: 'node_died' });
      } else {
        const fault = 'the node is dead and has the only copy';
        const done = await updatePart(held.trx, part.id, ['uploading'], { state: 'absent', fault, next_try_at: null });
        if (done) held.emit(draftPartEvent(held.recording, part, 'absent', { fault }));
      }
    });
    await stepLater(deps, part.recording_id);
  }
}
