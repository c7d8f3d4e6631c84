/** Answers a channel that wants into a room: asks for a PIN, refuses, lets it in here, or sends it to the room's node. */
import { SwitchyardError } from '../../../errors';
import { createTokenId } from '../../../infra/secrets/bound-tokens';
import { isId } from '../../../infra/ids';
import { equalSecrets, signToken } from '../../../infra/secrets';
import { storeClock } from '../../../infra/store-clock';
import {
  askPinPlan,
  bridgeToRoomPlan,
  enterRoomPlan,
  PIN_SILENT_VARIABLE,
  PIN_TRIES_VARIABLE,
  PIN_VARIABLE,
  refusePlan,
  turnAwayPlan,
  type CallVariables,
  type DialplanRequest,
} from '../../../freeswitch/xml';
import { NO_PIN_GUARD, type PinGuard } from '../../bans/pins';
import type { NodeRow } from '../../nodes/nodes.store';
import { admitEntrant, isSamePerson } from './admit';
import { signRoomProof } from '../adoption/proof';
import { isHiddenIdentity } from '../participants/hidden';
import { decideJoin, REFUSALS, type JoinDecision, type JoinRefusal } from './join-policy';
import {
  findAbsent,
  findParticipant,
  listParticipants,
  updateParticipant,
  type ParticipantKind,
  type ParticipantRole,
  type ParticipantRow,
} from '../participants/participants.store';
import { COME_BACK_SECONDS } from '../participants/leave-reasons';
import { openPins } from './pins';
import { draftSessionEvent } from '../room-events';
import { findRoom, type RoomRow } from '../rooms.store';
import { openSession, type Opened, type SessionDeps } from '../sessions/sessions';
import { findLivingSession, type SessionRow } from '../sessions/sessions.store';
import { redeemTicket } from './tickets';

/** What a room's settings mean for somebody at its door. */
export interface AdmissionPolicy {
  maxParticipants: number;
  mutedOnEntry: boolean;
  audioOnly: boolean;
  participantKbps?: number;
}

export interface EnteringDeps extends SessionDeps {
  secretKey: Buffer;
  readAdmissionPolicy: (room: RoomRow) => AdmissionPolicy;
  /** Counts wrong PINs over the pool; nobody does where it is left out. */
  pins?: PinGuard;
  /** Where a browser goes now: what the event tells those who came by grant. */
  whereNow: (opened: Opened) => Record<string, unknown>;
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
  /** Whose wrong PINs they are, where the identity does not say it. */
  countedAs?: string;
}

export interface JoinAttempt {
  request: DialplanRequest;
  room: RoomRow;
  who: RoomCaller;
  call: CallVariables;
  /** Sent there by us, or by a moderator: no lock and no limit stops them. */
  isSent?: boolean;
}

const TOKEN_SECONDS = 60;

/** no_capacity and feature_missing are turned into a refusal. @throws unavailable where it can't be known who may enter */
export async function enterRoom(deps: EnteringDeps, node: NodeRow, o: JoinAttempt): Promise<string> {
  const { request, room, who } = o;
  const plan = { ...o.call, context: request.context };
  const door = deps.readAdmissionPolicy(room);
  const living = await findLivingSession(deps.db, room.id);
  const absent = living && (await findAbsent(deps.db, living.meeting_id, who.identity));
  const decision = await decideWithCount(deps, o, (mayCompare) => decide(deps, o, door, living, absent, mayCompare));
  if (decision.do === 'ask_pin') {
    const asked = { triesBefore: pinTries(request), silentBefore: silentTries(request) };
    return askPinPlan({ ...plan, destination: request.destination, ...asked, wasWrong: pressedPin(request) !== '' });
  }
  if (decision.do === 'refuse') return turnAway(deps, o, decision.reason);
  let entered;
  try {
    entered = await openAndAdmit(deps, node, o, decision.role, absent?.state === 'away');
  } catch (error) {
    if (!(error instanceof SwitchyardError)) throw error;
    if (error.code === 'quota_exceeded') return turnAway(deps, o, 'over_quota');
    if (error.code !== 'no_capacity' && error.code !== 'feature_missing') throw error;
    deps.logger.warn(
      { roomId: room.id, callId: o.call.callId, why: error.message },
      'nobody can enter: no node can take the room',
    );
    return refusePlan({ ...plan, sipStatus: 503, reason: 'No node has capacity for the room' });
  }
  if (!entered) {
    deps.logger.warn({ roomId: room.id, callId: o.call.callId }, 'a session was over before somebody could enter');
    return refusePlan({ ...plan, sipStatus: 503, reason: 'The room has just moved' });
  }
  const { opened, participant } = entered;
  const { session } = opened;
  if (session.node_id === node.id)
    return roomPlan(plan, proofOf(deps, node, o, opened.session, participant), session, participant, door, who);
  const exp = Math.floor(storeClock.nowMs() / 1000) + TOKEN_SECONDS;
  const claims = { c: o.call.callId, n: opened.node.name, r: room.id, p: participant.id, i: createTokenId(), exp };
  return bridgeToRoomPlan({
    ...plan,
    host: opened.node.host,
    internodePort: opened.node.internode_port,
    token: signToken(deps.secretKey, 'room', claims),
    name: who.name,
    number: who.number,
    audioOnly: door.audioOnly || !offersVideo(request),
    maxVideoKbps: who.maxVideoKbps ?? door.participantKbps,
  });
}

/** A session that ends between being found and being entered is looked for again so often. */
const ENTRIES = 3;

/**
 * The session, with this one written down as on the way in. Where a session was only held open for them and its node
 * has no room for it any more, it goes on at another node, before anybody is in it.
 * @returns undefined where the room changes hands too fast @throws no_capacity, quota_exceeded
 */
async function openAndAdmit(
  deps: EnteringDeps,
  node: NodeRow,
  o: JoinAttempt,
  role: ParticipantRole,
  isAwaited: boolean,
): Promise<{ opened: Opened; participant: ParticipantRow } | undefined> {
  const entering = { observed: { hasVideo: offersVideo(o.request) } };
  let left: Opened | undefined;
  for (let entry = 0; entry < ENTRIES; entry += 1) {
    const opened = await openSession(deps, o.room, { preferNodeIds: [node.id], excludedNodeIds: [], entering });
    const legId = opened.session.node_id === node.id ? o.request.legId : null;
    const done = await admitEntrant(deps, o, opened, { role, legId, entering, isAwaited });
    if (done.outcome === 'admitted') {
      if (left) await tellMoved(deps, left, opened);
      return { opened, participant: done.participant };
    }
    if (done.outcome === 'node_full') left = opened;
  }
  return undefined;
}

/** Pages that were told another node, and are not in yet, go on by this one. */
async function tellMoved(deps: EnteringDeps, left: Opened, opened: Opened): Promise<void> {
  const { session, node } = opened;
  const data = { from: left.session.id, node: node.name, reason: 'moved', ...deps.whereNow(opened) };
  await deps.log.record((_trx, emit) => {
    emit(draftSessionEvent('session.moved', session, data));
    return Promise.resolve();
  });
}

/** What the channel's far end offers, in its own words (SDP). */
const offersVideo = (request: DialplanRequest): boolean => /^m=video [1-9]/m.test(request.variables.switch_r_sdp ?? '');

function pinTries(request: DialplanRequest): number {
  const tries = Number(request.variables[PIN_TRIES_VARIABLE]);
  return Number.isInteger(tries) && tries > 0 ? tries : 0;
}

/** Prompts at which nobody pressed anything, the last one too: that is no PIN, so it is no wrong one. */
function silentTries(request: DialplanRequest): number {
  const before = Number(request.variables[PIN_SILENT_VARIABLE]);
  const tries = pinTries(request);
  const last = tries > 0 && pressedPin(request) === '' ? 1 : 0;
  return Math.min(tries, (Number.isInteger(before) && before > 0 ? before : 0) + last);
}

/** What was pressed; nothing where nobody pressed anything. */
const pressedPin = (request: DialplanRequest): string =>
  pinTries(request) > 0 ? (request.variables[PIN_VARIABLE] ?? '') : '';

const pinCallerOf = ({ room, who }: JoinAttempt) => ({ room, identity: who.countedAs ?? who.identity });

/** Counts what was pressed before it is compared; a wrong one may be the last that is taken of this caller. */
async function decideWithCount(
  deps: EnteringDeps,
  o: JoinAttempt,
  compare: (mayCompare: boolean) => Promise<JoinDecision>,
): Promise<JoinDecision> {
  const guard = deps.pins ?? NO_PIN_GUARD;
  const caller = pinCallerOf(o);
  if (pressedPin(o.request) === '' || (await guard.isRefused(caller))) return compare(true);
  const counted = await guard.take(caller, `${o.request.legId}:${pinTries(o.request)}`);
  if (!counted) return compare(false);
  const decision = await compare(true);
  if (decision.do !== 'ask_pin' && !(decision.do === 'refuse' && decision.reason === 'wrong_pin')) {
    await counted.giveBack();
    return decision;
  }
  return (await counted.wasWrong()) ? { do: 'refuse', reason: 'too_many_pins' } : decision;
}

async function decide(
  deps: EnteringDeps,
  o: JoinAttempt,
  door: AdmissionPolicy,
  living: SessionRow | undefined,
  absent: ParticipantRow | undefined,
  mayCompare: boolean,
): Promise<JoinDecision> {
  const { request, room, who } = o;
  const inside = living ? await listParticipants(deps.db, living.id) : [];
  const tries = pinTries(request);
  const pins = openPins(deps.secretKey, room);
  return decideJoin(
    {
      kind: who.kind,
      role: who.role,
      pin: tries > 0 ? (request.variables[PIN_VARIABLE] ?? '') : undefined,
      wrongPins: tries - silentTries(request),
      silentPrompts: silentTries(request),
      isPinRefused: !mayCompare || (await (deps.pins ?? NO_PIN_GUARD).isRefused(pinCallerOf(o))),
      isAwaited: o.isSent === true || absent?.state === 'away' || isComingBack(who, inside, absent),
    },
    {
      pin: pins.pin ?? undefined,
      moderatorPin: pins.moderatorPin ?? undefined,
      // A lock is for those inside: the last one takes it along, also before the node says that the room is over.
      locked: living && inside.length > 0 ? living.locked : deps.lockedFromStart(room),
      maxParticipants: door.maxParticipants,
      present: inside.filter((p) => who.grantId === undefined || !isSamePerson(p, who)).length,
    },
    equalSecrets,
  );
}

/**
 * Their network has changed, or their browser died: they were let in before, and no lock or limit that came since keeps
 * them out. Not for a telephone's number, which proves nobody.
 */
function isComingBack(who: RoomCaller, inside: readonly ParticipantRow[], absent: ParticipantRow | undefined): boolean {
  if (who.kind === 'number') return false;
  if (who.grantId !== undefined && inside.some((p) => p.state === 'in' && isSamePerson(p, who))) return true;
  const leftMs = absent?.leave_reason === 'connection_lost' ? absent.left_at?.getTime() : undefined;
  return leftMs !== undefined && storeClock.nowMs() - leftMs < COME_BACK_SECONDS * 1000;
}

/** Says no on the phone and in the log of events. One who was answered for the PIN hears it. */
async function turnAway(deps: EnteringDeps, o: JoinAttempt, reason: JoinRefusal): Promise<string> {
  const { request, room, who } = o;
  const { sipStatus, text } = REFUSALS[reason];
  await deps.log.record((_trx, emit) => {
    emit({
      stream: room.domain_id,
      type: 'participant.refused',
      roomId: room.id,
      callId: o.call.callId,
      userId: isHiddenIdentity(who.identity) ? null : (who.userId ?? null),
      data: { identity: who.identity, name: who.name, kind: who.kind, grantId: who.grantId ?? null, reason },
    });
    return Promise.resolve();
  });
  const plan = { ...o.call, context: request.context };
  return pinTries(request) > 0
    ? turnAwayPlan({ ...plan, reason: text })
    : refusePlan({ ...plan, sipStatus, reason: text });
}

/** What their channel shows from now on, should the rows be lost. */
const proofOf = (
  deps: EnteringDeps,
  node: NodeRow,
  { room, request }: Pick<JoinAttempt, 'room' | 'request'>,
  session: SessionRow,
  participant: ParticipantRow,
): string | undefined =>
  isId(request.legId)
    ? signRoomProof(
        deps.secretKey,
        { nodeName: node.name, legId: request.legId, session, room, participant },
        storeClock.nowMs(),
      )
    : undefined;

function roomPlan(
  plan: CallVariables & { context: string },
  proof: string | undefined,
  session: SessionRow,
  participant: ParticipantRow,
  door: AdmissionPolicy,
  who?: RoomCaller,
): string {
  const moderator = participant.role === 'moderator';
  return enterRoomPlan({
    ...plan,
    proof,
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
    return refusePlan({ ...plan, sipStatus: 503, reason: 'The room is no longer here' });
  }
  const arrived = await updateParticipant(deps.db, participant.id, ['joining'], { leg_id: request.legId });
  if (!arrived) return refusePlan({ ...plan, sipStatus: 503, reason: 'Already in the room, or gone' });
  const proof = proofOf(deps, node, { room, request }, session, arrived);
  return roomPlan(plan, proof, session, arrived, deps.readAdmissionPolicy(room));
}

/** A channel that we transferred: its room has moved, or a moderator sends it to another one. Its ticket says who, and where. */
export async function reenterRoom(deps: EnteringDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const { context, destination, legId } = request;
  const ticket = await redeemTicket(deps.db, { destination, legId, nodeId: node.id }, storeClock.nowMs());
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
      number: isHiddenIdentity(participant.identity) ? '' : request.callerNumber,
      role: participant.role,
      grantId: participant.grant_id ?? undefined,
      userId: participant.user_id ?? undefined,
      maxVideoKbps: participant.max_video_kbps ?? undefined,
    },
  });
}
