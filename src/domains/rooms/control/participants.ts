/** What can be done with those in a room: look at them, change what is desired for them, send them out or elsewhere. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SwitchyardError } from '../../../errors';
import { hangUpMember, hangupLegs, type ApiCommand } from '../../../freeswitch/esl';
import type { Db } from '../../../infra/stores/db';
import { isId } from '../../../infra/ids';
import type { Logger } from '../../../infra/logger';
import { storeClock } from '../../../infra/store-clock';
import type { EventLog } from '../../events/events';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import type { LiveBoard } from '../live/live-state';
import {
  pendingChanges,
  presentParticipant,
  presentLiveSession,
  type LiveSessionView,
  type ParticipantView,
} from '../participants/view';
import {
  findParticipant,
  updateParticipant,
  type ParticipantRow,
  type ParticipantState,
} from '../participants/participants.store';
import type { Reconciler } from './reconciler';
import { draftParticipantEvent } from '../room-events';
import { findRoom, findRoomByName, type RoomRow } from '../rooms.store';
import { findLivingSession, findSession, type SessionRow } from '../sessions/sessions.store';
import { findNodeName, forgetFailed, listPresent, muteListeners, vacatePlace } from './control.store';
import type { WaitingSounds } from './waiting-sounds';
import { sendIntoRoom } from '../joining/tickets';
import type { DesiredOfParticipant } from './desired-state';

export interface ControlDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  links: Pick<NodeConnections, 'api'>;
  live: LiveBoard;
  reconciler: Reconciler;
  sounds: WaitingSounds;
  /** Writes down that somebody is out of a room (participants.ts). */
  markLeft: (participant: ParticipantRow, at: Date, reason: string) => Promise<boolean>;
  /** @throws unprocessable where the domain has no such layout */
  requireLayout: (domainId: string, name: string) => Promise<void>;
  /** Rings somebody and puts them into the room (calls.ts). */
  createCall: (asked: {
    domainId: string;
    domain: string;
    from: string;
    to: string;
    callerName?: string;
    ringTimeoutSeconds?: number;
  }) => Promise<{ id: string }>;
}

/** How long an answer waits to say that a desired change has come true; after that it says what is pending. */
const CONFIRM_MS = 1000;
const LOOK_MS = 25;
const HERE: readonly ParticipantState[] = ['joining', 'in', 'away'];

/** @throws conflict where nobody is in the room */
export async function requireSession(deps: Pick<ControlDeps, 'db'>, room: RoomRow): Promise<SessionRow> {
  const session = await findLivingSession(deps.db, room.id);
  if (!session) throw new SwitchyardError('conflict', `Nobody is in the room "${room.name}".`);
  return session;
}

/** @throws conflict where the room does not run on a node at this moment */
export async function requireLive(
  deps: Pick<ControlDeps, 'db'>,
  room: RoomRow,
): Promise<SessionRow & { node_id: string }> {
  const session = await requireSession(deps, room);
  if (session.state !== 'live' || !session.node_id) {
    throw new SwitchyardError('conflict', `Nobody is in the room "${room.name}" yet.`);
  }
  return { ...session, node_id: session.node_id };
}

/** @throws not_found where they never were in this room */
export async function requireParticipant(
  deps: Pick<ControlDeps, 'db'>,
  room: RoomRow,
  id: string,
): Promise<ParticipantRow> {
  const row = await findParticipant(deps.db, id);
  if (row?.room_id !== room.id) throw new SwitchyardError('not_found', 'No such participant in this room.');
  return row;
}

/** Sends a command to the room's node. @throws node_error with the node's own word where it refuses */
export async function command(deps: ControlDeps, nodeId: string, what: ApiCommand): Promise<string> {
  const reply = await deps.links.api(nodeId, what);
  if (!reply.ok) throw new SwitchyardError('node_error', `The node answered: ${reply.text.slice(0, 200)}`);
  return reply.text;
}

/** Asks again until it is so. @returns false where it is not so in time */
export async function confirm(isSo: () => Promise<boolean>, timeoutMs = CONFIRM_MS): Promise<boolean> {
  const until = storeClock.nowMs() + timeoutMs;
  for (;;) {
    if (await isSo()) return true;
    if (storeClock.nowMs() >= until) return false;
    await sleep(LOOK_MS);
  }
}

export interface RoomState {
  room: string;
  session: LiveSessionView | null;
  items: ParticipantView[];
}

/** Who is in the room, who is on the way in, and who is awaited after it moved. */
export async function presentRoomState(deps: ControlDeps, room: RoomRow): Promise<RoomState> {
  const session = await findLivingSession(deps.db, room.id);
  if (!session) return { room: room.name, session: null, items: [] };
  const [state, people, nodeName] = await Promise.all([
    deps.live.read(session.id),
    listPresent(deps.db, { sessionId: session.id, meetingId: session.meeting_id }),
    findNodeName(deps.db, session.node_id),
  ]);
  return {
    room: room.name,
    session: presentLiveSession(session, nodeName, state),
    items: people.map((p) => presentParticipant(p, state, people)),
  };
}

export async function presentParticipantNow(deps: ControlDeps, row: ParticipantRow): Promise<ParticipantView> {
  const [state, people] = await Promise.all([
    deps.live.read(row.session_id),
    listPresent(deps.db, { sessionId: row.session_id, meetingId: row.meeting_id }),
  ]);
  return presentParticipant(row, state, people);
}

export interface ParticipantPatch {
  role?: 'moderator' | 'participant';
  muted?: boolean;
  videoMuted?: boolean;
  deaf?: boolean;
  volumeIn?: number;
  volumeOut?: number;
  layer?: number | null;
  reservation?: string | null;
  banner?: string | null;
  maxVideoKbps?: number | null;
}

const COLUMNS = {
  role: 'role',
  muted: 'muted',
  videoMuted: 'video_muted',
  deaf: 'deaf',
  volumeIn: 'volume_in',
  volumeOut: 'volume_out',
  layer: 'layer',
  reservation: 'reservation',
  banner: 'banner',
  maxVideoKbps: 'max_video_kbps',
} as const;

/** Writes the desired changes down, and waits a moment for the node. @throws conflict where they have left */
export async function changeParticipant(
  deps: ControlDeps,
  room: RoomRow,
  id: string,
  asked: ParticipantPatch,
): Promise<ParticipantView> {
  await requireParticipant(deps, room, id);
  const patch = onePlace(asked);
  const named = Object.entries(patch).filter(([, value]) => value !== undefined);
  const change = Object.fromEntries(named.map(([name, value]) => [COLUMNS[name as keyof ParticipantPatch], value]));
  const row =
    named.length === 0
      ? await findParticipant(deps.db, id)
      : await deps.log.record(async (trx, emit) => {
          const changed = await updateParticipant(trx, id, HERE, change);
          if (!changed) return undefined;
          await forgetFailed(
            trx,
            'participants',
            id,
            named.map(([name]) => name as DesiredOfParticipant),
          );
          emit(draftParticipantEvent('participant.changed', changed, Object.fromEntries(named)));
          for (const what of ['layer', 'reservation'] as const) {
            const place = patch[what];
            if (place === undefined || place === null) continue;
            for (const other of await vacatePlace(trx, changed, what, place)) {
              emit(draftParticipantEvent('participant.changed', other, { [what]: null }));
            }
          }
          return changed;
        });
  if (!row) throw new SwitchyardError('conflict', 'The participant has left the room.');
  const desiredChanges = named.map(([name]) => name).filter((name) => name !== 'role');
  if (desiredChanges.length > 0) await bringAbout(deps, [row], desiredChanges);
  return presentParticipantNow(deps, (await findParticipant(deps.db, id)) ?? row);
}

/** A node shows nobody in a layer who has a reservation: the one that was named last counts. */
function onePlace(patch: ParticipantPatch): ParticipantPatch {
  if (patch.layer !== undefined && patch.layer !== null) return { ...patch, reservation: null };
  if (patch.reservation !== undefined && patch.reservation !== null) return { ...patch, layer: null };
  return patch;
}

/** Sends what is missing, and waits until it was seen of all of them, or the time is over. */
async function bringAbout(
  deps: ControlDeps,
  rows: readonly ParticipantRow[],
  desiredChanges: readonly string[],
): Promise<void> {
  const sessionIds = [...new Set(rows.map((r) => r.session_id))];
  for (const row of rows) deps.reconciler.forgetAttempts(row.id, desiredChanges);
  for (const sessionId of sessionIds) {
    await deps.reconciler.reconcile(sessionId).catch((error: unknown) => {
      deps.logger.debug({ err: error, sessionId }, 'the node is out of reach: the change waits');
      deps.reconciler.nudge(sessionId);
    });
  }
  await confirm(async () => {
    const now = await Promise.all(rows.map((r) => findParticipant(deps.db, r.id)));
    return now.every((p) => !p || !pendingChanges(p).some((w) => desiredChanges.includes(w) && canCome(p, w)));
  });
}

/** Nothing of a video can be seen of one who sends none. */
const canCome = (p: ParticipantRow, desired: string): boolean =>
  p.observed.hasVideo === true || !['videoMuted', 'layer', 'reservation', 'banner', 'maxVideoKbps'].includes(desired);

/** Everybody but the moderators, those who are on the way in as well. */
export async function muteAll(deps: ControlDeps, room: RoomRow): Promise<RoomState> {
  const session = await requireSession(deps, room);
  const muted = await deps.log.record(async (trx, emit) => {
    const rows = await muteListeners(trx, { sessionId: session.id, meetingId: session.meeting_id });
    for (const row of rows) {
      await forgetFailed(trx, 'participants', row.id, ['muted']);
      emit(draftParticipantEvent('participant.changed', row, { muted: true }));
    }
    return rows;
  });
  if (muted.length > 0) await bringAbout(deps, muted, ['muted']);
  return presentRoomState(deps, room);
}

/** Hangs up. @throws conflict where they have left already */
export async function removeParticipant(deps: ControlDeps, room: RoomRow, id: string): Promise<void> {
  await requireParticipant(deps, room, id);
  const row = await updateParticipant(deps.db, id, HERE, { leave_reason: 'removed' });
  if (!row) throw new SwitchyardError('conflict', 'The participant has left the room.');
  const session = await findSession(deps.db, row.session_id);
  if (row.state === 'away') {
    await deps.log.record(async (trx, emit) => {
      const left = await updateParticipant(trx, id, ['away'], { state: 'left', left_at: storeClock.now() });
      if (left) emit(draftParticipantEvent('participant.left', left, { reason: 'removed' }));
    });
    return;
  }
  if (session?.node_id && row.leg_id) {
    const inRoom = row.state === 'in' && row.member_id !== null;
    const wasThere = inRoom
      ? (await deps.links.api(session.node_id, hangUpMember(session.id, row.member_id!))).ok
      : await hangupLegs(deps, [{ nodeId: session.node_id, legId: row.leg_id }], 'CALL_REJECTED');
    // Gone by itself in the meantime: that is what was wanted.
    if (!wasThere) deps.logger.debug({ participantId: id }, 'nobody to remove');
    const isOut = async () => (await findParticipant(deps.db, id))?.state === 'left';
    if (await confirm(isOut)) return;
  }
  // Somebody whose channel is not there, or never comes.
  const now = await findParticipant(deps.db, id);
  if (now && (now.state === 'in' || now.state === 'joining')) await deps.markLeft(now, storeClock.now(), 'removed');
}

/** The room of that name or id in the same domain. @throws unprocessable */
async function requireTarget(deps: ControlDeps, room: RoomRow, nameOrId: string): Promise<RoomRow> {
  const found = isId(nameOrId) ? await findRoom(deps.db, nameOrId) : undefined;
  const target = found ?? (await findRoomByName(deps.db, room.domain_name, nameOrId));
  if (target?.domain_id !== room.domain_id) {
    throw new SwitchyardError('unprocessable', `There is no room "${nameOrId}" in ${room.domain_name}.`);
  }
  if (target.id === room.id) throw new SwitchyardError('conflict', 'The participant is already in that room.');
  return target;
}

/**
 * Sends somebody's channel back into the dialplan, which lets it into the other room wherever that runs. They have left
 * this room first: the channel can be only one participant's.
 */
export async function moveParticipant(
  deps: ControlDeps,
  room: RoomRow,
  id: string,
  to: string,
): Promise<{ room: string; roomId: string }> {
  const person = await requireParticipant(deps, room, id);
  const target = await requireTarget(deps, room, to);
  const session = await findSession(deps.db, person.session_id);
  if (person.state !== 'in' || !person.leg_id || !session?.node_id) {
    throw new SwitchyardError('conflict', 'The participant is not in the room at the moment.');
  }
  const { leg_id: legId, member_id: memberId } = person;
  if (!(await deps.markLeft({ ...person, leave_reason: null }, storeClock.now(), 'moved_to_room'))) {
    throw new SwitchyardError('conflict', 'The participant has just left the room.');
  }
  const nodeId = session.node_id;
  const reply = await sendIntoRoom(deps.db, { participantId: person.id, roomId: target.id, legId, nodeId })
    .then((ticket) => deps.links.api(nodeId, ticket))
    .catch((error: unknown) => error);
  if (typeof reply === 'object' && reply !== null && 'ok' in reply && reply.ok) {
    return { room: target.name, roomId: target.id };
  }
  await deps.log.record(async (trx, emit) => {
    const back = { state: 'in' as const, leg_id: legId, member_id: memberId, left_at: null, leave_reason: null };
    const row = await updateParticipant(trx, person.id, ['left'], back);
    if (row) emit(draftParticipantEvent('participant.in', row, { hasVideo: row.observed.hasVideo ?? false }));
  });
  if (reply instanceof Error) throw reply;
  throw new SwitchyardError('node_error', "The node didn't move the participant.");
}
