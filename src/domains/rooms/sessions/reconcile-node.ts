/** Brings rooms and nodes together again: after a reconnect, after a node's death or drain, and by a sweep. */
import { isId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import { listRooms, parseRooms, type NodeConnection, type RoomMember } from '../../../freeswitch/esl';
import type { EventDraft } from '../../events/events.store';
import type { NodeRow } from '../../nodes/nodes.store';
import type { EnteringDeps } from '../joining/join.dialplan';
import { boundTime } from '../../nodes/trust/bounded-time';
import type { ChannelMemories } from '../../calls/adoption/channel-memory';
import type { SeenMember } from '../adoption/adopt';
import { settleMember, settleRoom, type RoomLook, type StrangerDeps } from '../adoption/strangers';
import { markIn, markLeft, markLive, observeMember } from '../participants/member-events';
import { findParticipantOfLeg, listParticipants, type ParticipantRow } from '../participants/participants.store';
import { draftParticipantEvent, draftSessionEvent } from '../room-events';
import { findRoom } from '../rooms.store';
import { endEmptySession, endSession, listAwaited, placeSession, type Opened } from './sessions';
import { findSession, listLivingSessions, type SessionRow } from './sessions.store';

export interface RoomReconcileDeps extends StrangerDeps {
  commandTimeoutMs: number;
  /** What looks at the node before have seen. */
  memories: ChannelMemories;
  /** Rings somebody again whom the room had called, after it moved. */
  redial: (participant: ParticipantRow) => Promise<void>;
  /** Sends in a phone whose node still has its call, where that did not come about when the room moved. */
  rejoinLate: (participant: ParticipantRow) => Promise<void>;
  whereNow: EnteringDeps['whereNow'];
}

/** The list may be a moment older than the event that told of somebody. */
const YOUNG_MS = 5000;
/** Those whose room has moved off a draining node are given time to go by themselves (drain.ts). */
const LEAVING_MS = 15_000;

/**
 * Compares the node's rooms with the sessions that should be there, and settles what differs on either side. Rows follow
 * what is talked: nobody who talks is hung up here (adoption/verdict.ts).
 * @param suspects where a node is looked at while its events flow: what an event under way may explain is settled only
 *   where the look before has found it as well. What is found now is left in it.
 */
export async function reconcileRooms(
  deps: RoomReconcileDeps,
  node: NodeRow,
  connection: NodeConnection,
  now: Date,
  suspects?: Set<string>,
): Promise<void> {
  const found: string[] = [];
  const isSure = (what: string): boolean => {
    found.push(what);
    return !suspects || suspects.has(what);
  };
  const reply = await connection.api(listRooms(), { timeoutMs: deps.commandTimeoutMs });
  const rooms = new Map(parseRooms(reply.text).map((room) => [room.name, room]));
  const memory = deps.memories.of(node.id);
  memory.keep(new Set([...rooms.values()].flatMap((room) => room.members.map((m) => m.legId))));
  const check: RoomLook = {
    node,
    ask: (command) => connection.api(command, { timeoutMs: deps.commandTimeoutMs }),
    memory,
    now,
  };
  for (const session of await listLivingSessions(deps.db, node.id)) {
    const room = rooms.get(session.id);
    if (!room) {
      if (session.state === 'live' && isSure(session.id)) {
        deps.countOrphan?.('session');
        await endEmptySession(deps, session.id, now);
      }
      continue;
    }
    await markLive(deps, node, session.id, room.conferenceUuid, now);
    const seen = new Set(room.members.map((m) => m.legId));
    for (const member of room.members) {
      const found = isId(member.legId) ? await findParticipantOfLeg(deps.db, member.legId) : undefined;
      const participant = found?.session_id === session.id ? found : undefined;
      const seen = see(member, session.opened_at, now);
      if (participant) await markIn(deps, session, participant, member.memberId, seen.joinedAt, seen.seen);
      else if (isId(member.legId) && member.joinedSecondsAgo * 1000 >= YOUNG_MS && isSure(member.legId)) {
        await settleMember(deps, check, session, { ...room, size: room.members.length }, seen);
      }
    }
    for (const participant of await listParticipants(deps.db, session.id)) {
      if (participant.state !== 'in' || (participant.leg_id && seen.has(participant.leg_id))) continue;
      if (now.getTime() - (participant.joined_at ?? now).getTime() < YOUNG_MS) continue;
      if (isSure(`${participant.leg_id ?? ''} ${participant.id}`)) await missed(deps, participant, now);
    }
  }
  for (const room of rooms.values()) {
    if (!isId(room.name)) continue;
    const session = await findSession(deps.db, room.name);
    if (session && session.state !== 'ended' && session.node_id === node.id) continue;
    const isLeaving = suspects && session?.ended_at && now.getTime() - session.ended_at.getTime() < LEAVING_MS;
    if (isLeaving || !isSure(`room ${room.name}`)) continue;
    const members = room.members.filter((m) => isId(m.legId)).map((m) => see(m, new Date(0), now));
    await settleRoom(deps, check, { ...room, size: room.members.length, members });
  }
  suspects?.clear();
  for (const what of found) suspects?.add(what);
}

/** Somebody whose leaving no event told. */
async function missed(deps: RoomReconcileDeps, participant: ParticipantRow, now: Date): Promise<void> {
  if (await markLeft(deps, participant, now, 'lost')) deps.countOrphan?.('member');
}

const see = (member: RoomMember, opened: Date, now: Date): SeenMember => ({
  memberId: member.memberId,
  legId: member.legId,
  joinedAt: boundTime(now.getTime() - member.joinedSecondsAgo * 1000, opened.getTime(), now.getTime()).at,
  seen: observeMember(member),
});

/** The node is gone for sure, or drained to its deadline: its rooms go on elsewhere, and everybody is told where. */
export async function moveSessionsOfNode(
  deps: RoomReconcileDeps,
  nodeId: string,
  reason: 'node_died' | 'moved',
): Promise<void> {
  const sessions = await listLivingSessions(deps.db, nodeId);
  await Promise.all(
    sessions.map((session) =>
      moveSession(deps, session, reason).catch((error: unknown) => {
        deps.logger.warn({ err: error, sessionId: session.id, reason }, 'a room could not be moved now');
      }),
    ),
  );
}

/** @returns the room's new place; undefined where nobody was in it, or somebody else moved it. */
export async function moveSession(
  deps: RoomReconcileDeps,
  session: SessionRow,
  reason: 'node_died' | 'moved',
): Promise<Opened | undefined> {
  const inside = await listParticipants(deps.db, session.id);
  const room = await findRoom(deps.db, session.room_id);
  if (!room || inside.length === 0) {
    await endSession(deps, session.id, reason, storeClock.now());
    return undefined;
  }
  const opened = await placeSession(deps, room, session, reason, { preferNodeIds: [], excludedNodeIds: [] });
  if (!opened) return undefined;
  const awaited = await listAwaited(deps, session.id);
  const where = deps.whereNow(opened);
  await deps.log.record((_trx, emit: (draft: EventDraft) => void) => {
    const data = { from: session.id, node: opened.node.name, reason, ...where };
    emit(draftSessionEvent('session.moved', opened.session, data));
    for (const participant of awaited) emit(draftParticipantEvent('participant.moved', participant, data));
    return Promise.resolve();
  });
  for (const participant of awaited) {
    // A drained node still has the phones: they are taken along.
    if (participant.kind === 'user' && reason === 'node_died') await deps.redial(participant).catch(() => undefined);
  }
  return opened;
}
