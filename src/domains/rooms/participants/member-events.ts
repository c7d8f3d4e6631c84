/** Says of one session that it lives, of one participant that they are in or out, as a look at a node or somebody's wish tells; the same twice changes nothing. */
import type { Trx } from '../../../infra/stores/db';
import type { RoomMember } from '../../../freeswitch/esl';
import type { NodeRow } from '../../nodes/nodes.store';
import { updateParticipant, type ParticipantObserved, type ParticipantRow } from './participants.store';
import { asIn, asLeft, asLive, type StrangeRoom } from './reduce-members';
import { draftParticipantEvent, draftSessionEvent } from '../room-events';
import type { Emit, SessionDeps } from '../sessions/sessions';
import { findSession, lockSession, updateSession, type SessionRow } from '../sessions/sessions.store';

export interface ParticipantDeps extends SessionDeps {
  /** The call of somebody who is now in the room is answered. */
  onEntered: (trx: Trx, emit: Emit, callId: string, at: Date) => Promise<void>;
  /** A room without a living session here, or somebody in one whom no row explains: it is decided soon what becomes of it. */
  onStranger: (node: NodeRow, session: SessionRow | undefined, room: StrangeRoom) => void;
}

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
    const row = await updateSession(trx, sessionId, ['opening'], asLive(session, conferenceUuid, at));
    if (row) emit(draftSessionEvent('session.live', row, { node: node.name }));
    return row;
  });
  if (live) deps.hooks.sessionLive(live);
  return live;
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
    const row = await updateParticipant(trx, participant.id, ['joining'], asIn(memberId, at, seen));
    if (!row) return undefined;
    if (row.call_id) await deps.onEntered(trx, emit, row.call_id, at);
    emit(draftParticipantEvent('participant.in', row, { hasVideo: seen.hasVideo ?? false }));
    return row;
  });
  if (entered) deps.hooks.participantIn(session, entered);
}

/** @returns whether they were in, or on the way in, until now. */
export async function markLeft(
  deps: ParticipantDeps,
  participant: ParticipantRow,
  at: Date,
  reason: string,
): Promise<boolean> {
  const left = await deps.log.record(async (trx, emit) => {
    const row = await updateParticipant(trx, participant.id, ['joining', 'in'], asLeft(participant, at, reason));
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
