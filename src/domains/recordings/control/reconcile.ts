/** Brings a recording to what is desired: tells the node, asks it where no event came, and gives up after some tries. */
import { createId } from '../../../infra/ids';
import { keepableText } from '../../../infra/text/plain-text';
import type { ApiCommand } from '../../../freeswitch/esl';
import { findCall, findLeg } from '../../calls/calls.store';
import { findNode } from '../../nodes/nodes.store';
import { isDeserted } from '../../rooms/participants/participants.store';
import { findLivingSession, listSessionRows } from '../../rooms/sessions/sessions.store';
import {
  changeRecording,
  draftRecordingEvent,
  endPart,
  explainEnd,
  finishRecording,
  markRecording,
  type RecordingDeps,
} from './transition';
import { choosePath, explainStandstill, isWritten, tellStart, tellStop, type Ask } from './node-files';
import { insertPart, isLiving, listParts, updatePart, type PartRow } from '../parts.store';
import {
  findRecording,
  takeDueRecordings,
  updateRecording,
  type GapReason,
  type RecordingRow,
} from '../recordings.store';
import { decideAfterCheck, decideStep, EVENT_MS, pauseAfter, type Step, type Target } from './state-machine';

/** Somebody is awaited in a room whose node died for this long. */
const MEETING_GRACE_MS = 60_000;
/** A replica that has taken a recording and died: another one takes it after this. */
const STEP_LEASE_MS = 10_000;
const STEPS_AT_ONCE = 50;

export const askNode =
  (deps: Pick<RecordingDeps, 'links'>, nodeId: string): Ask =>
  (command: ApiCommand) =>
    deps.links.api(nodeId, command);

/** What of the room or call can be recorded now. */
export async function findTarget(deps: RecordingDeps, recording: RecordingRow): Promise<Target> {
  return recording.kind === 'room' ? findRoomTarget(deps, recording) : findCallTarget(deps, recording);
}

async function findRoomTarget(deps: RecordingDeps, recording: RecordingRow): Promise<Target> {
  const roomId = recording.room_id;
  if (!roomId) return { is: 'over', reason: 'room_deleted' };
  const session = await findLivingSession(deps.db, roomId);
  if (session && session.meeting_id !== recording.meeting_id) return { is: 'over', reason: 'room_ended' };
  // The file has ended before the room: a part that was begun now would fail, and the whole with it.
  if (session?.state === 'live' && (await isDeserted(deps.db, session.id))) return { is: 'awaited' };
  if (session?.state === 'live' && session.node_id) {
    const node = await findNode(deps.db, session.node_id);
    const nodeName = node?.name ?? '';
    return { is: 'there', nodeId: session.node_id, nodeName, sessionId: session.id, legId: null };
  }
  if (session) return { is: 'awaited' };
  const [last] = await listSessionRows(deps.db, { roomId, limit: 1 });
  const reason = last?.end_reason ?? 'room_ended';
  const tornOff = TORN_OFF[reason];
  const endedMs = last?.ended_at?.getTime() ?? 0;
  if (tornOff && deps.now() - endedMs < MEETING_GRACE_MS) return { is: 'awaited', tornOff };
  return { is: 'over', reason: tornOff ? reason : 'room_ended' };
}

/** Ends of a session that are no end of its meeting, and what the time until it goes on is called. */
const TORN_OFF: Partial<Record<string, GapReason>> = {
  node_died: 'node_died',
  lost: 'node_died',
  moved: 'moved',
  superseded: 'moved',
};

async function findCallTarget(deps: RecordingDeps, recording: RecordingRow): Promise<Target> {
  const call = recording.call_id ? await findCall(deps.db, recording.call_id) : undefined;
  const leg = recording.leg_id ? await findLeg(deps.db, recording.leg_id) : undefined;
  if (!call || !leg || call.state === 'ended' || leg.state === 'ended' || !leg.node_id) {
    return { is: 'over', reason: call?.outcome === 'lost' ? 'call_lost' : 'call_ended' };
  }
  return { is: 'there', nodeId: leg.node_id, nodeName: call.node_name ?? '', sessionId: null, legId: leg.id };
}

/** Takes what is due and takes one step with each. */
export async function stepDueRecordings(deps: RecordingDeps): Promise<void> {
  const now = deps.now();
  const until = new Date(now + STEP_LEASE_MS);
  const ids = await takeDueRecordings(deps.db, new Date(now), until, STEPS_AT_ONCE);
  await Promise.all(
    ids.map((id) =>
      stepRecording(deps, id).catch((error: unknown) => {
        deps.logger.warn({ err: error, recordingId: id }, 'a recording could not be brought on; it is tried again');
      }),
    ),
  );
}

/** Takes one step; the same step twice does no harm. */
export async function stepRecording(deps: RecordingDeps, id: string): Promise<void> {
  const recording = await findRecording(deps.db, id);
  if (!recording) return;
  const target = await findTarget(deps, recording);
  const parts = await listParts(deps.db, [id]);
  await takeStep(deps, recording, target, decideStep(recording, parts, target, deps.now()));
}

/** What follows is done at once, and by the sweep where that fails. */
export async function stepLater(deps: RecordingDeps, recordingId: string): Promise<void> {
  await stepRecording(deps, recordingId).catch((error: unknown) => {
    deps.logger.debug({ err: error, recordingId }, 'the sweep brings this recording on');
  });
}

async function takeStep(deps: RecordingDeps, recording: RecordingRow, target: Target, step: Step): Promise<void> {
  switch (step.do) {
    case 'nothing':
      return setNextTry(deps, recording, null);
    case 'look again':
      return setNextTry(deps, recording, step.inMs);
    case 'start':
      return target.is === 'there' ? startPart(deps, recording, target) : undefined;
    case 'start again':
      return commandStart(deps, recording, step.part);
    case 'stop':
      return commandStop(deps, recording, step.part);
    case 'check':
      return checkPart(deps, recording, target, step.part);
    case 'explain':
      await changeRecording(deps, recording.id, (held) => explainEnd(held, step.reason, step.reason));
      return stepRecording(deps, recording.id);
    case 'finish':
      await changeRecording(deps, recording.id, (held) =>
        finishRecording(held, recording.reason ?? step.reason, new Date(deps.now())),
      );
      return;
    case 'give up':
      return giveUp(deps, recording, step.part);
  }
}

async function setNextTry(deps: RecordingDeps, recording: RecordingRow, inMs: number | null): Promise<void> {
  const at = inMs === null ? null : new Date(deps.now() + inMs);
  await updateRecording(deps.db, recording.id, [recording.desired], { next_try_at: at });
}

type There = Extract<Target, { is: 'there' }>;

/** The part is written down before the node is told: what it then writes is known, whatever dies in between. */
async function startPart(deps: RecordingDeps, recording: RecordingRow, target: There): Promise<void> {
  const id = createId(deps.now());
  const path = await choosePath(askNode(deps, target.nodeId), id, recording.format).catch(async (error: unknown) => {
    await countTry(deps, recording);
    throw error;
  });
  const part = await changeRecording(deps, recording.id, async ({ trx, recording: now, parts }) => {
    if (now.desired !== 'recording' || parts.some(isLiving)) return undefined;
    await insertPart(trx, {
      id,
      recording_id: recording.id,
      number: (parts.at(-1)?.number ?? 0) + 1,
      node_id: target.nodeId,
      node_name: target.nodeName,
      session_id: target.sessionId,
      leg_id: target.legId,
      format: recording.format,
      path,
      state: 'starting',
      requested_at: new Date(deps.now()),
    });
    return (await listParts(trx, [recording.id])).at(-1);
  });
  if (part) await commandStart(deps, recording, part);
}

async function countTry(deps: RecordingDeps, recording: RecordingRow): Promise<void> {
  const tries = recording.tries + 1;
  const next = new Date(deps.now() + Math.max(EVENT_MS, pauseAfter(tries)));
  await updateRecording(deps.db, recording.id, ['recording'], { tries, next_try_at: next });
}

async function commandStart(deps: RecordingDeps, recording: RecordingRow, part: PartRow): Promise<void> {
  await countTry(deps, recording);
  await updatePart(deps.db, part.id, ['starting'], { commanded_at: new Date(deps.now()) });
  const reply = await tellStart(askNode(deps, part.node_id!), part);
  // A refusal stands until the next try; "already being used" is none: the check finds the file there.
  if (!reply.ok)
    await updatePart(deps.db, part.id, ['starting'], { fault: keepableText(`the node says: ${reply.text}`, 136) });
}

async function commandStop(deps: RecordingDeps, recording: RecordingRow, part: PartRow): Promise<void> {
  const now = deps.now();
  await changeRecording(deps, recording.id, async ({ trx }) => {
    await updatePart(trx, part.id, ['starting', 'recording', 'stopping'], {
      state: 'stopping',
      commanded_at: new Date(now),
    });
    await updateRecording(trx, recording.id, [recording.desired], { next_try_at: new Date(now + EVENT_MS) });
  });
  if (part.node_id) await tellStop(askNode(deps, part.node_id), part);
}

async function checkPart(deps: RecordingDeps, recording: RecordingRow, target: Target, part: PartRow): Promise<void> {
  const ask = askNode(deps, part.node_id!);
  const next = decideAfterCheck(recording, part, target, await isWritten(ask, part));
  switch (next.do) {
    case 'mark recording': {
      const at = part.commanded_at ?? new Date(deps.now());
      await changeRecording(deps, recording.id, (held) => markRecording(held, part, at));
      return;
    }
    case 'mark ended':
      return endUnseen(deps, part, ask);
    case 'start again': {
      const waitMs = (part.commanded_at?.getTime() ?? 0) + pauseAfter(recording.tries) - deps.now();
      return waitMs > 0 ? setNextTry(deps, recording, waitMs) : commandStart(deps, recording, part);
    }
    default:
      return takeStep(deps, recording, target, next);
  }
}

/** The desired state ends a part; one that ended by itself is explained when it is known what became of its call or room. */
export const reasonOfEnd = (recording: RecordingRow, part: Pick<PartRow, 'started_at'>): string | null => {
  if (recording.desired === 'recording') return part.started_at ? null : 'interrupted';
  return recording.desired === 'stopped' ? (recording.reason ?? 'stopped') : 'paused';
};

/** The node does not write it any more, and no event said so. What it wrote is brought here, where it wrote at all. */
export async function endUnseen(deps: RecordingDeps, part: PartRow, ask: Ask): Promise<void> {
  const fault = part.started_at ? await explainStandstill(ask, part.path).catch(() => undefined) : undefined;
  await changeRecording(deps, part.recording_id, (held) =>
    endPart(held, part, {
      at: (held.recording.desired === 'recording' ? part.looked_at : null) ?? new Date(deps.now()),
      reason: reasonOfEnd(held.recording, part),
      to: part.started_at ? 'uploading' : 'failed',
      fault: fault ?? (part.started_at ? undefined : (part.fault ?? 'the node never wrote it')),
    }),
  );
}

async function giveUp(deps: RecordingDeps, recording: RecordingRow, part: PartRow | undefined): Promise<void> {
  const seen = part?.fault ?? 'the node does not start it';
  await changeRecording(deps, recording.id, async (held) => {
    held.emit(
      draftRecordingEvent('recording.change_failed', recording, {
        what: 'recording',
        wanted: 'recording',
        seen,
        tries: recording.tries,
      }),
    );
    const at = new Date(deps.now());
    if (part) await endPart(held, part, { at, reason: 'given_up', to: 'failed', fault: seen });
    const parts = await listParts(held.trx, [recording.id]);
    await finishRecording({ ...held, parts }, keepableText(`could_not_start: ${seen}`, 200), at);
  });
}
