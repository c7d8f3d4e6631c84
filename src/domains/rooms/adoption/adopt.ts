/** Makes a room's rows follow a room that goes on: its session lives again, or is written again, with those who are in it. */
import { createId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import type { NodeRow } from '../../nodes/nodes.store';
import { markIn, type ParticipantDeps } from '../participants/member-events';
import type { StrangeRoom } from '../participants/reduce-members';
import {
  findParticipant,
  insertParticipant,
  updateParticipant,
  type ParticipantRow,
} from '../participants/participants.store';
import { draftParticipantEvent, draftSessionEvent } from '../room-events';
import { findRoom, insertRoom } from '../rooms.store';
import { sessionUnits } from '../sessions/session-units';
import {
  findLivingSession,
  insertSession,
  lockLease,
  lockSession,
  takeLease,
  type SessionRow,
} from '../sessions/sessions.store';
import { hasDomain, reviveSession } from './adopted.store';
import type { RoomProof } from './proof';

/** Somebody whom the node has in the room; the time they entered is by our clock. */
export type SeenMember = StrangeRoom['members'][number];

export interface FoundRoom {
  node: NodeRow;
  conferenceUuid: string | null;
  members: readonly SeenMember[];
}

/**
 * The session goes on, with the room's lease. A room that is newer than the backup is written down again as its members
 * prove it; its PINs are lost, so one that had any is locked.
 * @returns undefined where its domain is unknown as well, or the room has another session by now
 */
export async function adoptSession(
  deps: ParticipantDeps,
  proof: RoomProof,
  { node, conferenceUuid, members }: FoundRoom,
): Promise<SessionRow | undefined> {
  if (!(await hasDomain(deps.db, proof.room.domainId))) return undefined;
  const now = storeClock.now();
  const adopted = await deps.log.record(async (trx, emit) => {
    const { id: roomId, domainId, name, isClosed } = proof.room;
    let room = await findRoom(trx, roomId);
    const isLost = room === undefined;
    if (!room) {
      const settings = { ...proof.room.settings, ...(isClosed ? { locked: true } : {}) };
      if (!(await insertRoom(trx, { id: roomId, domain_id: domainId, name, settings }))) return undefined;
      room = await findRoom(trx, roomId);
    }
    if (room?.domain_id !== domainId) return undefined;
    const lease = await lockLease(trx, roomId);
    if (await findLivingSession(trx, roomId)) return undefined;
    const before = await lockSession(trx, proof.session.id);
    const epoch = String(BigInt(lease.epoch) + 1n);
    const people = members.map(({ seen }) => ({ observed: seen }));
    const units = String(sessionUnits(before?.settings ?? room.settings, people));
    const here = { node_id: node.id, epoch, units, conference_uuid: conferenceUuid };
    const session = before
      ? await reviveSession(trx, before.id, here)
      : await insertSession(trx, {
          ...here,
          id: proof.session.id,
          room_id: roomId,
          domain_id: domainId,
          meeting_id: proof.session.meetingId,
          state: 'live',
          settings: room.settings,
          locked: isClosed,
          opened_at: proof.session.openedAt,
          started_at: proof.session.openedAt,
        });
    if (!session || !(await takeLease(trx, lease, { nodeId: node.id, sessionId: session.id, at: now }))) {
      throw new Error('The lease of an adopted room was taken under its lock');
    }
    const data = { node: node.name, was: before?.end_reason ?? null, roomIsNew: isLost };
    emit(draftSessionEvent('session.adopted', session, data));
    return session;
  });
  if (!adopted) return undefined;
  deps.countOrphan?.('adopted');
  deps.logger.warn(
    { node: node.name, sessionId: adopted.id, roomId: adopted.room_id },
    'a room that goes on was adopted: its session was over, or missing',
  );
  // While Redis is away nothing is claimed: the sweep does it when that is back.
  const claimed = deps.claims.claim(node.id, adopted.id, Number(adopted.units), null, storeClock.nowMs());
  await claimed.catch(() => undefined);
  deps.hooks.sessionLive(adopted);
  return adopted;
}

/** Somebody who is in the room is in its rows as well. @returns undefined where they are there by another channel already */
export async function adoptMember(
  deps: ParticipantDeps,
  session: SessionRow,
  { participant: proven }: RoomProof,
  member: SeenMember,
): Promise<ParticipantRow | undefined> {
  const arriving = {
    session_id: session.id,
    call_id: proven.call_id,
    leg_id: member.legId,
    member_id: null,
    state: 'joining' as const,
    left_at: null,
    leave_reason: null,
    // What they hear and say now stays as it is.
    muted: member.seen.muted ?? false,
    deaf: member.seen.deaf ?? false,
    observed: {},
  };
  const adopted = await deps.log.record(async (trx, emit) => {
    const before = await findParticipant(trx, proven.id);
    const isPresent = before?.state === 'joining' || before?.state === 'in';
    const isOther = isPresent && before?.leg_id !== member.legId;
    const row =
      before && !isOther
        ? await updateParticipant(trx, before.id, ['joining', 'in', 'left', 'away'], arriving)
        : await insertParticipant(trx, {
            ...proven,
            id: isOther ? createId() : proven.id,
            room_id: session.room_id,
            meeting_id: session.meeting_id,
            domain_id: session.domain_id,
            ...arriving,
          });
    if (row) emit(draftParticipantEvent('participant.adopted', row, { was: before?.leave_reason ?? null }));
    return row;
  });
  if (!adopted) return undefined;
  deps.countOrphan?.('adopted');
  deps.logger.warn(
    { sessionId: session.id, participantId: adopted.id, leg: member.legId },
    'somebody who is in a room was adopted: their row was over, or missing',
  );
  await markIn(deps, session, adopted, member.memberId, member.joinedAt, member.seen);
  return adopted;
}
