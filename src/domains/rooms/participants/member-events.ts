/** Takes in what a node reports of who is in a room; the same report twice changes nothing. */
import { isId } from '../../../infra/ids';
import type { Trx } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import type { RoomEvent, RoomMember } from '../../../freeswitch/esl';
import { isPhoneLost } from '../../../freeswitch/esl';
import type { NodeRow } from '../../nodes/nodes.store';
import { boundTime } from '../../nodes/trust/bounded-time';
import {
  findParticipantOfLeg,
  updateParticipant,
  type ParticipantObserved,
  type ParticipantRow,
} from './participants.store';
import { draftParticipantEvent, draftSessionEvent } from '../room-events';
import { endEmptySession, type Emit, type SessionDeps } from '../sessions/sessions';
import { findSession, lockSession, updateSession, type SessionRow } from '../sessions/sessions.store';

export interface ParticipantDeps extends SessionDeps {
  /** The call of somebody who is now in the room is answered. */
  onEntered: (trx: Trx, emit: Emit, callId: string, at: Date) => Promise<void>;
  /** A room without a living session here, or somebody in one whom no row explains: it is decided what becomes of it. */
  onStranger: (node: NodeRow, session: SessionRow | undefined, room: StrangeRoom) => Promise<void>;
}

/** As an event tells it. */
export interface StrangeRoom {
  name: string;
  conferenceUuid: string | null;
  size: number;
  members: { memberId: number; legId: string; joinedAt: Date; seen: ParticipantObserved }[];
}

/** The session of that name, where this node owns it. What else becomes of it is not decided here. */
export async function requireOwned(
  deps: SessionDeps,
  node: NodeRow,
  conferenceName: string,
): Promise<SessionRow | undefined> {
  if (!isId(conferenceName)) return undefined; // not of our making: left alone
  const session = await findSession(deps.db, conferenceName);
  if (session && session.state !== 'ended' && session.node_id === node.id) return session;
  if (session && session.state !== 'ended') {
    deps.logger.warn({ node: node.name, sessionId: session.id }, 'a node runs a room that another node owns');
    deps.refuseReport?.(node, 'room', { sessionId: session.id });
  }
  return undefined;
}

/** When something came about in a room, within the session's own time. */
function takeTime(deps: SessionDeps, node: NodeRow, session: SessionRow, claimedMs: number): Date {
  const { at, isMoved } = boundTime(claimedMs, session.opened_at.getTime(), storeClock.nowMs());
  if (isMoved) deps.refuseReport?.(node, 'time', { sessionId: session.id });
  return at;
}

/** The lives of rooms and of those in them; what they do there is taken in by room control. */
export async function handleRoomEvent(deps: ParticipantDeps, node: NodeRow, event: RoomEvent): Promise<void> {
  switch (event.action) {
    case 'conference-create':
      return takeCreated(deps, node, event);
    case 'add-member':
      return takeMember(deps, node, event);
    case 'del-member':
      if (event.legId) await takeLeft(deps, node, { ...event, legId: event.legId });
      return;
    case 'conference-destroy':
      return takeDestroyed(deps, node, event);
  }
}

async function takeDestroyed(deps: ParticipantDeps, node: NodeRow, event: RoomEvent): Promise<void> {
  const session = await requireOwned(deps, node, event.room);
  if (session) await endEmptySession(deps, session.id, takeTime(deps, node, session, event.atMs));
}

async function takeCreated(deps: ParticipantDeps, node: NodeRow, event: RoomEvent): Promise<void> {
  if (!isId(event.room)) return;
  const session = await requireOwned(deps, node, event.room);
  if (!session) return deps.onStranger(node, undefined, strangeRoom(event, []));
  await markLive(deps, node, session.id, event.sessionId ?? null, takeTime(deps, node, session, event.atMs));
}

const strangeRoom = (event: RoomEvent, members: StrangeRoom['members']): StrangeRoom => ({
  name: event.room,
  conferenceUuid: event.sessionId ?? null,
  size: event.size ?? members.length,
  members,
});

/** Says once that the room lives. @returns the session as it is now. */
export async function markLive(
  deps: ParticipantDeps,
  node: NodeRow,
  sessionId: string,
  conferenceUuid: string | null,
  at: Date,
): Promise<SessionRow | undefined> {
  const live = await deps.log.record(async (trx, emit) => {
    const session = await lockSession(trx, sessionId);
    if (session?.state !== 'opening' || session.node_id !== node.id) return undefined;
    const row = await updateSession(trx, sessionId, ['opening'], {
      state: 'live',
      conference_uuid: conferenceUuid,
      started_at: session.started_at ?? at,
      open_until: null,
      observed: {},
    });
    if (row) emit(draftSessionEvent('session.live', row, { node: node.name }));
    return row;
  });
  if (live) deps.hooks.sessionLive(live);
  return live;
}

const flag = (event: RoomEvent, name: string): boolean | undefined => {
  const value = event.fields[name];
  return value === undefined ? undefined : value === 'true';
};
const not = (value: boolean | undefined): boolean | undefined => (value === undefined ? undefined : !value);

async function takeMember(deps: ParticipantDeps, node: NodeRow, event: RoomEvent): Promise<void> {
  const memberId = Number(event.memberId);
  if (!isId(event.room) || !event.legId || !isId(event.legId) || !(memberId > 0)) return;
  const session = await requireOwned(deps, node, event.room);
  if (!session) return deps.onStranger(node, undefined, strangeRoom(event, []));
  const at = takeTime(deps, node, session, event.atMs);
  await markLive(deps, node, session.id, event.sessionId ?? null, at);
  const participant = await findParticipantOfLeg(deps.db, event.legId);
  const seen = {
    hasVideo: flag(event, 'Video'),
    muted: not(flag(event, 'Speak')),
    deaf: not(flag(event, 'Hear')),
  };
  if (!participant || participant.session_id !== session.id) {
    // Nobody gets in without an answer of ours, which writes the row first: this one's row is over, or was lost.
    const members = [{ memberId, legId: event.legId, joinedAt: at, seen }];
    return deps.onStranger(node, session, strangeRoom(event, members));
  }
  await markIn(deps, session, participant, memberId, at, seen);
}

/** Somebody is in the room, as an event or a snapshot tells. */
export async function markIn(
  deps: ParticipantDeps,
  session: SessionRow,
  participant: ParticipantRow,
  memberId: number,
  at: Date,
  seen: ParticipantObserved,
): Promise<void> {
  const entered = await deps.log.record(async (trx, emit) => {
    const row = await updateParticipant(trx, participant.id, ['joining'], {
      state: 'in',
      member_id: memberId,
      joined_at: at,
      left_at: null,
      leave_reason: null,
      observed: seen,
    });
    if (!row) return undefined;
    if (row.call_id) await deps.onEntered(trx, emit, row.call_id, at);
    emit(draftParticipantEvent('participant.in', row, { hasVideo: seen.hasVideo ?? false }));
    return row;
  });
  if (entered) deps.hooks.participantIn(session, entered);
}

/** A channel that is in a room no more: its own end says it, or the room's. */
interface Leaving {
  legId: string;
  room?: string;
  atMs: number;
  /** Where the channel itself has ended. */
  hangupCause?: string;
}

/** The channel is out of the room, or ended before it was in: said by the node that has the session. */
export async function takeLeft(
  deps: ParticipantDeps,
  node: NodeRow,
  { legId, room: conferenceName, atMs, hangupCause }: Leaving,
): Promise<void> {
  if (!isId(legId)) return;
  const participant = await findParticipantOfLeg(deps.db, legId);
  if (!participant || (conferenceName !== undefined && participant.session_id !== conferenceName)) return;
  const session = await findSession(deps.db, participant.session_id);
  if (session?.node_id !== node.id) {
    deps.refuseReport?.(node, 'room', { sessionId: participant.session_id, leg: legId });
    return;
  }
  const reason = isPhoneLost(hangupCause) ? 'connection_lost' : 'hung_up';
  await markLeft(deps, participant, takeTime(deps, node, session, atMs), reason);
}

/** @returns whether they were in, or on the way in, until now. */
export async function markLeft(
  deps: ParticipantDeps,
  participant: ParticipantRow,
  at: Date,
  reason: string,
): Promise<boolean> {
  const left = await deps.log.record(async (trx, emit) => {
    const row = await updateParticipant(trx, participant.id, ['joining', 'in'], {
      state: 'left',
      left_at: at,
      leave_reason: participant.leave_reason ?? reason,
      leg_id: null,
      member_id: null,
      hand_raised_at: null,
    });
    if (row) emit(draftParticipantEvent('participant.left', row, { reason: row.leave_reason }));
    return row;
  });
  if (!left) return false;
  const session = await findSession(deps.db, left.session_id);
  if (session) deps.hooks.participantLeft(session, left);
  return true;
}

/** What a snapshot tells of a member, in the words of `observed`. */
export function observeMember(member: RoomMember): ParticipantObserved {
  return { muted: member.muted, deaf: member.deaf, hasVideo: member.hasVideo, moderator: member.moderator };
}
