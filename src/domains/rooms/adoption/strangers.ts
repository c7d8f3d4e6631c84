/** Looks at rooms and members of a node that no row explains, and does what is decided of each (verdict.ts). */
import {
  dumpChannel,
  hangUpMember,
  parseChannelDump,
  type ApiCommand,
  type ChannelDump,
  type Reply,
} from '../../../freeswitch/esl';
import { ROOM_PROOF_VARIABLE } from '../../../freeswitch/xml';
import { isId, showLegId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import type { ChannelMemory } from '../../calls/adoption/channel-memory';
import { endUnadmitted, isUnadmitted } from '../../calls/reconcile/unadmitted-channels';
import { POOL_STREAM } from '../../events/events.store';
import type { NodeRow } from '../../nodes/nodes.store';
import type { ParticipantDeps } from '../participants/member-events';
import type { StrangeRoom } from '../participants/reduce-members';
import { findParticipant, findParticipantOfLeg, type ParticipantRow } from '../participants/participants.store';
import { isPutOut } from '../participants/leave-reasons';
import { emptyRoom } from '../sessions/sessions';
import { findLivingSession, findSession, type SessionRow } from '../sessions/sessions.store';
import { adoptMember, adoptSession, type SeenMember } from './adopt';
import { findParticipantOfCall, isGone, isHangupAsked, isRevoked } from './adopted.store';
import { readRoomProof, type RoomProof } from './proof';
import { judgeMember, judgeRoom, type RoomVerdict } from './verdict';
import { ROOMS_CONTEXT } from '../../../freeswitch/contexts';

export interface StrangerDeps extends ParticipantDeps {
  /** What proves whom we let in. */
  secretKey: Buffer;
}

/** What a look at a node, or an event of it, has found. */
export interface RoomLook {
  node: NodeRow;
  ask: (command: ApiCommand) => Promise<Reply>;
  /** Left out: an event told it, and who is alone or unexplained is left to the next look. */
  memory?: ChannelMemory;
  now: Date;
}

/** A room as the node has it: those whom no row explains, of `size` who are there. */
type SeenRoom = StrangeRoom;

/** @param roomId what a member proves, where no row tells */
async function judge(
  deps: StrangerDeps,
  node: NodeRow,
  sessionId: string,
  session: SessionRow | undefined,
  roomId: string | undefined,
): Promise<RoomVerdict> {
  const room = session?.room_id ?? roomId;
  const living = room === undefined ? undefined : await findLivingSession(deps.db, room);
  return judgeRoom({
    session: session && {
      isOver: session.state === 'ended',
      isOfThisNode: session.node_id === node.id,
      endReason: session.end_reason,
    },
    isDeleted: await isGone(deps.db, room === undefined ? [sessionId] : [sessionId, room]),
    livesElsewhere: living !== undefined && living.id !== sessionId && living.node_id !== node.id,
  });
}

/** Ends a room of which somebody asked for the end, or that another node runs by now. */
async function dissolve(deps: StrangerDeps, node: NodeRow, sessionId: string, why: 'asked' | 'twin'): Promise<void> {
  deps.countOrphan?.('twin');
  deps.logger.warn({ node: node.name, sessionId, why }, 'ends a room that its node may not run any more');
  await emptyRoom(deps, { id: sessionId, node_id: node.id });
}

/** A room that this node has no living session for: ended where it must be, else adopted as its members prove it. */
export async function settleRoom(deps: StrangerDeps, check: RoomLook, room: SeenRoom): Promise<void> {
  if (!isId(room.name)) return;
  const session = await findSession(deps.db, room.name);
  const first = await judge(deps, check.node, room.name, session, undefined);
  if (first === 'runs') return;
  if (first !== 'adopt') return dissolve(deps, check.node, room.name, first.end);
  if (!check.memory) return; // its members are looked at together
  const shown = await Promise.all(room.members.map((member) => show(deps, check, room.name, member)));
  const proof = shown.find((one) => one?.proof)?.proof;
  if (!session && proof) {
    const second = await judge(deps, check.node, room.name, undefined, proof.room.id);
    if (typeof second === 'object') return dissolve(deps, check.node, room.name, second.end);
  }
  let living: SessionRow | undefined;
  for (const one of shown) {
    if (one) living = await settleShown(deps, check, room, one, { living, before: session });
  }
}

/** Somebody in a room that lives here, of whom no row tells. */
export async function settleMember(
  deps: StrangerDeps,
  check: RoomLook,
  session: SessionRow,
  room: Omit<SeenRoom, 'members'>,
  member: SeenMember,
): Promise<void> {
  const one = await show(deps, check, session.id, member);
  if (one) await settleShown(deps, check, { ...room, members: [member] }, one, { living: session, before: session });
}

interface Shown {
  member: SeenMember;
  dump: ChannelDump;
  proof: RoomProof | undefined;
}

async function show(
  deps: StrangerDeps,
  { node, ask }: RoomLook,
  sessionId: string,
  member: SeenMember,
): Promise<Shown | undefined> {
  const row = await findParticipantOfLeg(deps.db, member.legId);
  if (row && row.session_id !== sessionId) return undefined; // on its way to another room
  const reply = await ask(dumpChannel(member.legId));
  const dump = parseChannelDump(reply.text);
  if (!dump) return undefined; // it has ended meanwhile
  const token = dump.variables?.[ROOM_PROOF_VARIABLE];
  const shownBy = { nodeName: node.name, legId: member.legId, sessionId };
  const proof = token ? readRoomProof(deps.secretKey, shownBy, token, storeClock.nowMs()) : undefined;
  return { member, dump, proof };
}

/** @returns the room's living session, which may have come to life by this one */
async function settleShown(
  deps: StrangerDeps,
  check: RoomLook,
  room: SeenRoom,
  { member, dump, proof }: Shown,
  { living, before }: { living: SessionRow | undefined; before: SessionRow | undefined },
): Promise<SessionRow | undefined> {
  const { node, memory, now } = check;
  const talks = room.size > 1;
  const verdict = judgeMember({
    isUnadmitted: dump.isAnswered && isUnadmitted(dump),
    isAskedOut: await isAskedOut(deps, living ?? before, dump, proof),
    isProven: proof !== undefined,
    talks,
    aloneMs: memory?.sawAlone(member.legId, !talks, now.getTime()) ?? 0,
    session: living ? 'living' : before ? 'over' : 'unknown',
  });
  switch (verdict.do) {
    case 'adopt': {
      const found = { node, conferenceUuid: room.conferenceUuid, members: room.members };
      const session = living ?? (await adoptSession(deps, proof!, found));
      if (session && (await adoptMember(deps, session, proof!, member))) return session;
      if (talks) await tell(deps, check, room, member);
      return session;
    }
    case 'tell':
      await tell(deps, check, room, member);
      return living;
    case 'end':
      if (verdict.why === 'unadmitted') await endUnadmitted(deps, node, dump);
      else await turnOut(deps, check, room, member, verdict.why);
      return living;
    case 'leave':
      return living;
  }
}

async function isAskedOut(
  deps: StrangerDeps,
  session: SessionRow | undefined,
  dump: ChannelDump,
  proof: RoomProof | undefined,
): Promise<boolean> {
  const callId = proof?.participant.call_id ?? (dump.callId && isId(dump.callId) ? dump.callId : undefined);
  if (callId && (await isHangupAsked(deps.db, callId))) return true;
  const row = proof
    ? await findParticipant(deps.db, proof.participant.id)
    : session && callId && (await findParticipantOfCall(deps.db, session.meeting_id, callId));
  if (row && wentBy(row, dump.legId, session)) return true;
  const who = row || proof?.participant;
  return who ? isRevoked(deps.db, who) : false;
}

/** They were told to go, are in another room by now, or are here by a channel that took this one's place. */
function wentBy(row: ParticipantRow, legId: string, session: SessionRow | undefined): boolean {
  if (row.state === 'left') return isPutOut(row.leave_reason);
  if (row.state === 'away' || row.leg_id === legId) return false;
  return row.kind === 'grant' || row.session_id !== session?.id;
}

async function turnOut(
  deps: StrangerDeps,
  { node, ask }: RoomLook,
  room: SeenRoom,
  { memberId, legId }: SeenMember,
  why: string,
): Promise<void> {
  deps.countOrphan?.('member');
  deps.logger.warn({ node: node.name, sessionId: room.name, leg: legId, why }, 'ends a member nobody knows');
  await ask(hangUpMember(room.name, memberId)).catch(() => undefined);
}

/** They hear others, so they stay; that it happens at all is told and counted, once for each channel. */
async function tell(
  deps: StrangerDeps,
  { node, memory }: RoomLook,
  room: SeenRoom,
  { legId }: SeenMember,
): Promise<void> {
  if (!memory?.tellOnce(legId)) return;
  deps.countOrphan?.('unexplained');
  deps.logger.warn(
    { node: node.name, sessionId: room.name, leg: legId },
    'somebody talks in a room, and nobody knows who it is: they are left alone',
  );
  const data = { node: node.name, leg: showLegId(legId), context: ROOMS_CONTEXT, sessionId: room.name };
  await deps.log.record((_trx, emit) => {
    emit({ stream: POOL_STREAM, type: 'channel.unexplained', nodeId: node.id, data });
    return Promise.resolve();
  });
}
