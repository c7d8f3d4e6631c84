/** Answers a channel that wants into a room: asks for a PIN, refuses, lets it in here, or sends it to the room's node. */
import { SwitchyardError } from '../../errors';
import { createId } from '../../infra/ids';
import { createTokenId } from '../../infra/bound-tokens';
import { decryptSecret, equalSecrets, signToken } from '../../infra/secrets';
import { killChannel } from '../../freeswitch/esl';
import {
  askPinPlan,
  bridgeToRoomPlan,
  enterRoomPlan,
  PIN_TRIES_VARIABLE,
  PIN_VARIABLE,
  refusePlan,
  turnAwayPlan,
  type CallVariables,
  type DialplanRequest,
} from '../../freeswitch/xml';
import type { NodeRow } from '../nodes/nodes.store';
import { decideJoin, REFUSALS, type JoinDecision, type JoinRefusal } from './joining';
import {
  findAbsent,
  findParticipant,
  insertParticipant,
  listParticipants,
  updateParticipant,
  type ParticipantKind,
  type ParticipantRole,
  type ParticipantRow,
} from './participants.store';
import { draftParticipantEvent } from './room-events';
import { findRoom, type RoomRow } from './rooms.store';
import { openSession, type SessionDeps } from './sessions';
import { findLivingSession, lockSession, type SessionRow } from './sessions.store';
import { takeTicket } from './tickets/tickets';

/** What a room's settings mean for somebody at its door. */
export interface DoorRules {
  maxParticipants: number;
  mutedOnEntry: boolean;
  audioOnly: boolean;
  participantKbps?: number;
}

export interface EnteringDeps extends SessionDeps {
  secretKey: Buffer;
  readDoor: (room: RoomRow) => DoorRules;
}

/** Who stands at the door. */
export interface RoomCaller {
  kind: ParticipantKind;
  identity: string;
  name: string;
  number: string;
  /** Only a grant says it. */
  role?: ParticipantRole;
  grantId?: string;
  userId?: string;
  maxVideoKbps?: number;
}

export interface AtTheDoor {
  request: DialplanRequest;
  room: RoomRow;
  who: RoomCaller;
  call: CallVariables;
  /** Sent there by us, or by a moderator: no lock and no limit stops them. */
  isSent?: boolean;
}

const TOKEN_SECONDS = 60;

/** @throws no_capacity is turned into a refusal; unavailable where it can't be known who may enter */
export async function enterRoom(deps: EnteringDeps, node: NodeRow, o: AtTheDoor): Promise<string> {
  const { request, room, who } = o;
  const plan = { ...o.call, context: request.context };
  const door = deps.readDoor(room);
  const living = await findLivingSession(deps.db, room.id);
  const absent = living && (await findAbsent(deps.db, living.meeting_id, who.identity));
  const decision = await decide(deps, o, door, living, absent);
  if (decision.do === 'ask_pin') {
    return askPinPlan({ ...plan, destination: request.destination, triesBefore: pinTries(request) });
  }
  if (decision.do === 'refuse') return turnAway(deps, o, decision.reason);
  let opened;
  try {
    opened = await openSession(deps, room, { preferNodeIds: [node.id], excludedNodeIds: [] });
  } catch (error) {
    if (!(error instanceof SwitchyardError) || error.code !== 'no_capacity') throw error;
    deps.logger.warn({ roomId: room.id, callId: o.call.callId }, 'nobody can enter: no node can take the room');
    return refusePlan({ ...plan, sipStatus: 503, reason: 'No node can take the room' });
  }
  const { session } = opened;
  const isHere = session.node_id === node.id;
  const participant = await admit(deps, o, session, decision.role, isHere ? request.legId : null);
  if (!participant) {
    deps.logger.warn(
      { sessionId: session.id, callId: o.call.callId },
      'a session was over before somebody could enter',
    );
    return refusePlan({ ...plan, sipStatus: 503, reason: 'The room has just moved' });
  }
  if (isHere) return roomPlan(plan, session, participant, door, who);
  const exp = Math.floor(Date.now() / 1000) + TOKEN_SECONDS;
  const claims = { c: o.call.callId, n: opened.node.name, r: room.id, p: participant.id, i: createTokenId(), exp };
  return bridgeToRoomPlan({
    ...plan,
    host: opened.node.host,
    internodePort: opened.node.internode_port,
    token: signToken(deps.secretKey, claims),
    name: who.name,
    number: who.number,
    audioOnly: door.audioOnly || !offersVideo(request),
    maxVideoKbps: who.maxVideoKbps ?? door.participantKbps,
  });
}

/** What the channel's far end offers, in its own words (SDP). */
const offersVideo = (request: DialplanRequest): boolean => /^m=video [1-9]/m.test(request.variables.switch_r_sdp ?? '');

function pinTries(request: DialplanRequest): number {
  const tries = Number(request.variables[PIN_TRIES_VARIABLE]);
  return Number.isInteger(tries) && tries > 0 ? tries : 0;
}

async function decide(
  deps: EnteringDeps,
  o: AtTheDoor,
  door: DoorRules,
  living: SessionRow | undefined,
  absent: ParticipantRow | undefined,
): Promise<JoinDecision> {
  const { request, room, who } = o;
  const inside = living ? await listParticipants(deps.db, living.id) : [];
  const tries = pinTries(request);
  const unseal = (sealed: string | null) => (sealed === null ? undefined : decryptSecret(deps.secretKey, sealed));
  return decideJoin(
    {
      kind: who.kind,
      role: who.role,
      pin: tries > 0 ? (request.variables[PIN_VARIABLE] ?? '') : undefined,
      pinTries: tries,
      isAwaited: o.isSent === true || absent?.state === 'away',
    },
    {
      pin: unseal(room.pin_sealed),
      moderatorPin: unseal(room.moderator_pin_sealed),
      // A lock is for those inside: the last one takes it along, also before the node says that the room is over.
      locked: living && inside.length > 0 ? living.locked : deps.lockedFromStart(room),
      maxParticipants: door.maxParticipants,
      present: inside.filter((p) => p.grant_id === null || p.grant_id !== who.grantId).length,
    },
    equalSecrets,
  );
}

/** Says no on the phone and in the log of events. One who was answered for the PIN hears it. */
async function turnAway(deps: EnteringDeps, o: AtTheDoor, reason: JoinRefusal): Promise<string> {
  const { request, room, who } = o;
  const { sipStatus, text } = REFUSALS[reason];
  await deps.log.record((_trx, emit) => {
    emit({
      stream: room.domain_id,
      type: 'participant.refused',
      roomId: room.id,
      callId: o.call.callId,
      userId: who.userId ?? null,
      data: { identity: who.identity, name: who.name, kind: who.kind, grantId: who.grantId ?? null, reason },
    });
    return Promise.resolve();
  });
  const plan = { ...o.call, context: request.context };
  return pinTries(request) > 0
    ? turnAwayPlan({ ...plan, reason: text })
    : refusePlan({ ...plan, sipStatus, reason: text });
}

/**
 * Writes down who is on the way in, before the node hears that they may. One who was in this meeting before gets their
 * row again, with all that was wished for them; a grant is one person, so its second entry takes the place of the first.
 * @returns undefined where the session ended meanwhile
 */
async function admit(
  deps: EnteringDeps,
  o: AtTheDoor,
  session: SessionRow,
  role: ParticipantRole,
  legId: string | null,
): Promise<ParticipantRow | undefined> {
  const { who } = o;
  const door = deps.readDoor(o.room);
  const done = await deps.log.record(async (trx, emit) => {
    const now = await lockSession(trx, session.id);
    if (!now || now.state === 'ended') return undefined;
    const present = await listParticipants(trx, session.id);
    const twin = who.grantId ? present.find((p) => p.grant_id === who.grantId) : undefined;
    // A node that was given no answer in time asks once more for the same call: the answer is the same.
    const asked = present.find((p) => p.state === 'joining' && p.call_id === o.call.callId);
    const before = twin ?? asked ?? (await findAbsent(trx, session.meeting_id, who.identity));
    const arriving = {
      session_id: session.id,
      call_id: o.call.callId,
      leg_id: legId,
      member_id: null,
      state: 'joining' as const,
      entering_at: new Date(),
      name: who.name,
      // What a moderator made of them stays; only a moderators' PIN makes more of who comes back.
      role: before && !(role === 'moderator' && who.role === undefined) ? before.role : role,
      left_at: null,
      leave_reason: null,
      observed: {},
    };
    const row = before
      ? await updateParticipant(trx, before.id, ['joining', 'in', 'left', 'away'], arriving)
      : await insertParticipant(trx, {
          id: createId(),
          room_id: session.room_id,
          meeting_id: session.meeting_id,
          domain_id: session.domain_id,
          identity: who.identity,
          kind: who.kind,
          grant_id: who.grantId ?? null,
          user_id: who.userId ?? null,
          muted: door.mutedOnEntry && role !== 'moderator',
          max_video_kbps: who.maxVideoKbps ?? null,
          ...arriving,
        });
    if (row && !asked) emit(draftParticipantEvent('participant.joining', row));
    return { row, replaced: twin };
  });
  const old = done?.replaced;
  if (old?.leg_id && session.node_id && old.leg_id !== legId) {
    await deps.links.api(session.node_id, killChannel(old.leg_id, 'PICKED_OFF')).catch(() => undefined);
  }
  return done?.row;
}

function roomPlan(
  plan: CallVariables & { context: string },
  session: SessionRow,
  participant: ParticipantRow,
  door: DoorRules,
  who?: RoomCaller,
): string {
  const moderator = participant.role === 'moderator';
  return enterRoomPlan({
    ...plan,
    sessionId: session.id,
    participantId: participant.id,
    name: participant.name,
    moderator,
    muted: participant.muted,
    videoMuted: participant.video_muted,
    deaf: participant.deaf,
    audioOnly: door.audioOnly,
    maxVideoKbps: participant.max_video_kbps ?? who?.maxVideoKbps ?? door.participantKbps,
  });
}

/** Another node sends somebody on whom it has let in; its token says whom, and into which room. */
export async function deliverToRoom(
  deps: EnteringDeps,
  node: NodeRow,
  request: DialplanRequest,
  claims: Record<string, string | number>,
): Promise<string> {
  const plan = { callId: String(claims.c), legRole: 'transit' as const, context: request.context };
  const room = await findRoom(deps.db, String(claims.r));
  const participant = await findParticipant(deps.db, String(claims.p));
  const session = room && (await findLivingSession(deps.db, room.id));
  if (!room || !session || session.node_id !== node.id || participant?.session_id !== session.id) {
    return refusePlan({ ...plan, sipStatus: 503, reason: 'The room is not here any more' });
  }
  const arrived = await updateParticipant(deps.db, participant.id, ['joining'], { leg_id: request.legId });
  if (!arrived) return refusePlan({ ...plan, sipStatus: 503, reason: 'They are in already, or gone' });
  return roomPlan(plan, session, arrived, deps.readDoor(room));
}

/** A channel that we transferred: its room has moved, or a moderator sends it to another one. Its ticket says who, and where. */
export async function reenterRoom(deps: EnteringDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const { context, destination, legId } = request;
  const ticket = await takeTicket(deps.db, { destination, legId, nodeId: node.id }, Date.now());
  const participant = ticket && (await findParticipant(deps.db, ticket.participantId));
  // Once they are in, or gone, the ticket is worth nothing, also to the channel it was made for.
  if (!ticket || !participant || (ticket.isAgain && participant.state !== 'joining')) {
    deps.refuseReport?.(node, 'ticket', { leg: legId.slice(0, 64) });
    return refusePlan({ context, sipStatus: 403, reason: 'No valid ticket' });
  }
  const room = await findRoom(deps.db, ticket.roomId);
  if (!participant.call_id || room?.domain_id !== participant.domain_id) {
    return refusePlan({ context, sipStatus: 404, reason: 'No such participant or room' });
  }
  return enterRoom(deps, node, {
    request,
    room,
    call: { callId: participant.call_id },
    isSent: true,
    who: {
      kind: participant.kind,
      identity: participant.identity,
      name: participant.name,
      number: request.callerNumber,
      role: participant.role,
      grantId: participant.grant_id ?? undefined,
      userId: participant.user_id ?? undefined,
      maxVideoKbps: participant.max_video_kbps ?? undefined,
    },
  });
}
