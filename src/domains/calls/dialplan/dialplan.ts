/** Decides where a channel goes: a phone that dials, a leg that we placed, or a call that another node hands over. */
import { sentName } from '../../../infra/text/dialled-name';
import { isId } from '../../../infra/ids';
import { readToken } from '../../../infra/secrets';
import { storeClock } from '../../../infra/store-clock';
import {
  internodeDeliveryPlan,
  kindOfOffer,
  refusePlan,
  ROOM_EXTENSION,
  withFixedMedia,
  withMediaTimeout,
  type DialplanRequest,
} from '../../../freeswitch/xml';
import { answerCanary } from '../../nodes/health/canary/dialplan';
import type { NodeRow } from '../../nodes/nodes.store';
import { deliverToRoom, enterRoom, reenterRoom, type RoomCaller } from '../../rooms/joining/join.dialplan';
import { findRoomByName } from '../../rooms/rooms.store';
import { parseAddress, type Address } from '../address';
import { provePlan } from '../adoption/proof';
import { findCall, findLastAttempt, type CallRow, type LegRow } from '../calls.store';
import { markOf } from '../dialing/forked-legs';
import { extensionOf } from '../dialing/dial-command';
import { moveCall } from '../events/move-calls';
import { judgeMedia } from './media-address';
import { answerPhone, callerOf, shownCaller } from './inbound-call';
import { dialOn, findKnownLeg } from './redialling/known-leg';
import { connectTo, findContacts, RING_SECONDS, type DialplanDeps } from './contacts';
import { handleHandover } from '../trust/handover';
import { isPlacedLeg } from '../trust/placed-leg';
import {
  CALLS_CONTEXT,
  CANARY_CONTEXT,
  INTERNODE_CONTEXT,
  ROOMS_CONTEXT,
  USERS_CONTEXT,
} from '../../../freeswitch/contexts';

/** @returns the plan; a refusal is a plan too. @throws unavailable where it can't be known who is called. */
export async function answerDialplan(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  return provePlan(deps, node, await choosePlan(deps, node, request));
}

async function choosePlan(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  switch (request.context) {
    case CALLS_CONTEXT:
      return continueCall(deps, node, request);
    case ROOMS_CONTEXT:
      return reenterRoom(deps.rooms, node, request);
    case CANARY_CONTEXT:
      return answerCanary(deps, node, request);
    case USERS_CONTEXT:
      return answerPhoneAtHome(deps, node, request);
    case INTERNODE_CONTEXT:
      return deliverCall(deps, node, request);
    default:
      return refusePlan({ context: request.context, sipStatus: 404, reason: 'No such context' });
  }
}

/**
 * A phone's media goes to where it signals from, or behind the NAT there; one that wants it sent elsewhere is refused
 * before anything is written down. Only the first offer is seen here: a change inside the call asks nobody.
 */
async function answerPhoneAtHome(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const { context, networkIp, username, domain } = request;
  // A leg that a bridge has made was let in by us, and has no login to show.
  const known = username ? undefined : await findKnownLeg(deps, node, request.legId);
  if (known) return dialOn(deps, node, request, known);
  const sdp = request.variables.switch_r_sdp;
  const kind = kindOfOffer(sdp ?? '');
  if (!sdp || !networkIp || !username) {
    return withMediaTimeout(await answerPhone(deps, node, request), kind, deps.mediaTimeouts);
  }
  const judgement = judgeMedia(sdp, networkIp, deps.mediaNetworks);
  if (judgement === 'foreign') {
    deps.logger.warn({ node: node.name, from: networkIp, username, domain }, 'media for another address was refused');
    return refusePlan({ context, sipStatus: 488, reason: 'Media goes to where the phone is' });
  }
  const plan = withMediaTimeout(await answerPhone(deps, node, request), kind, deps.mediaTimeouts);
  return judgement === 'own' ? withFixedMedia(plan) : plan;
}

/** The caller's phone has answered a call that we placed: now the other end is rung. */
async function continueCall(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const call = request.callId && isId(request.callId) ? await findCall(deps.db, request.callId) : undefined;
  const context = request.context;
  if (!call || call.state === 'ended' || call.hangup_requested_at) {
    return refusePlan({ context, sipStatus: 410, reason: 'The call has ended' });
  }
  if (!(await isPlacedLeg(deps.db, node, call, request.legId))) {
    deps.refuseReport?.(node, 'plan', { leg: request.legId.slice(0, 64), callId: call.id });
    return refusePlan({ context, sipStatus: 403, reason: 'Not a channel of the call' });
  }
  const to = parseAddress(call.to_address);
  const known = await findKnownLeg(deps, node, request.legId);
  if (known && !(await leadsTo(deps, known, request.destination, to))) return dialOn(deps, node, request, known);
  // Another phone of the caller's, of which nothing was told yet: it asks for what all of them ask for.
  if (!known && !asksFor(to, request.destination)) {
    deps.refuseReport?.(node, 'plan', { leg: request.legId.slice(0, 64), callId: call.id });
    return refusePlan({ context, callId: call.id, sipStatus: 403, reason: 'The call does not lead there' });
  }
  await notePickedUp(deps, call, node, request.legId);
  const from = parseAddress(call.from_address);
  const caller = from.kind === 'user' ? await deps.directory.findUser(from.username, call.domain_name) : undefined;
  if (to.kind === 'room') {
    const room = await findRoomByName(deps.db, call.domain_name, to.name);
    if (!room) return refusePlan({ context, callId: call.id, sipStatus: 404, reason: 'No such room' });
    const who: RoomCaller = caller
      ? callerOf(caller, request.isHidden ? call.id : undefined)
      : { kind: 'number', identity: `number:${call.from_address}`, name: call.caller_name, number: '' };
    // Whoever asked for the call over REST may put the user into the room: no PIN is asked.
    const invited = { ...who, role: 'participant' as const };
    return enterRoom(deps.rooms, node, { request, room, who: invited, call: { callId: call.id } });
  }
  return connectTo(deps, node, to, call.domain_name, {
    context,
    callId: call.id,
    ...shownCaller(caller, request.isHidden),
    ringTimeoutSeconds: call.ring_timeout_seconds,
  });
}

const asksFor = (to: Address, destination: string): boolean =>
  [extensionOf(to), sentName(extensionOf(to))].includes(destination);

/**
 * Whether a leg asks for the end that its call was asked or transferred to, as the one who placed it. The called one never
 * asks for itself, unless the call is carried by it (joining/).
 */
async function leadsTo(
  deps: DialplanDeps,
  { leg, call }: { leg: LegRow; call: CallRow },
  destination: string,
  to: Address,
): Promise<boolean> {
  if (!asksFor(to, destination)) return false;
  return leg.role !== 'to' || (await findLastAttempt(deps.db, call.id))?.leg_id === leg.id;
}

/** Another node hands over a call: its address proves nothing, its token names this node, the user and the call. */
async function deliverCall(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const { context } = request;
  const { token = '' } = request;
  const entering = readToken(deps.secretKey, 'room', token, storeClock.nowMs());
  const claims = entering ?? readToken(deps.secretKey, 'call', token, storeClock.nowMs());
  const [username, domain] = String(claims?.u ?? '').split('@');
  const isForRoom = entering !== undefined && request.destination === ROOM_EXTENSION;
  const isForUser = entering === undefined && username && domain && username === request.destination;
  const isValid = claims && claims.n === node.name && (isForRoom || isForUser);
  if (!isValid || !(await handleHandover(deps, node, request, claims))) {
    deps.logger.warn({ node: node.name, from: request.networkIp }, 'a call without a valid token was refused');
    return refusePlan({ context, sipStatus: 403, reason: 'Invalid token' });
  }
  if (isForRoom) return deliverToRoom(deps.rooms, node, request, claims);
  const user = await deps.directory.findUser(username!, domain!);
  if (!user?.enabled) return refusePlan({ context, sipStatus: 404, reason: 'No such user' });
  const callId = String(claims.c);
  const attemptLegId = claims.a === undefined ? undefined : String(claims.a);
  if (attemptLegId && (await isOver(deps, callId, attemptLegId))) {
    return refusePlan({ context, callId, sipStatus: 410, reason: 'The call now rings elsewhere, or has ended' });
  }
  const deliveredLeg = claims.l === 'from' ? ('from' as const) : ('to' as const);
  const dialString = await findContacts(deps, node, user, { callId, leg: deliveredLeg, ownOnly: true });
  const call = await findCall(deps.db, callId).catch(() => undefined);
  const ringTimeoutSeconds = call?.ring_timeout_seconds ?? RING_SECONDS;
  return internodeDeliveryPlan({ context, callId, attemptLegId, dialString, deliveredLeg, ringTimeoutSeconds });
}

/** A node that was frozen takes up what waited for it, also from a node that has died since. */
async function isOver(deps: DialplanDeps, callId: string, attemptLegId: string): Promise<boolean> {
  const attempt = await findLastAttempt(deps.db, callId).catch(() => undefined);
  return attempt !== undefined && (markOf(attempt) !== attemptLegId || attempt.ended_at !== null);
}

/** The leg that asks where to go is the one that has answered: it carries the attempt from here on. */
async function notePickedUp(deps: DialplanDeps, call: CallRow, node: NodeRow, legId: string): Promise<void> {
  if (call.origin !== 'api' || (await findLastAttempt(deps.db, call.id))?.leg_id === legId) return;
  await moveCall(deps, { kind: 'picked_up', callId: call.id, nodeId: node.id, legId });
}
