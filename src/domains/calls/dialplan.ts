/** Decides where a channel goes: a phone that dials, a leg that we placed, or a call that another node hands over. */
import { SwitchyardError } from '../../errors';
import { isUnreachable } from '../../infra/db';
import { createId, markUnwritten } from '../../infra/ids';
import { readToken, signToken } from '../../infra/secrets';
import {
  bridgeToUserPlan,
  CANARY_CONTEXT,
  dialStringTo,
  echoPlan,
  internodeDeliveryPlan,
  refusePlan,
  ROOM_EXTENSION,
  type DialplanRequest,
  type ReachableContact,
  type UserRequest,
} from '../../freeswitch/xml';
import type { GrantView } from '../grants/grant-directory';
import { answerCanary } from '../nodes/canary-entrance';
import type { NodeRow } from '../nodes/nodes.store';
import {
  deliverToRoom,
  enterRoom,
  reenterRoom,
  ROOMS_CONTEXT,
  type EnteringDeps,
  type RoomCaller,
} from '../rooms/entering';
import { findRoom, findRoomByName, type RoomRow } from '../rooms/rooms.store';
import { findRegistrationsOfUsers, type NamedRegistration } from '../registrations/registrations.store';
import type { Directory, DirectoryUser } from '../users/directory';
import { formatAddress, parseAddress, type Address } from './address';
import { findCall, findLeg, insertAttempt, insertCall, insertLeg, type CallRow } from './calls.store';
import { CALLS_CONTEXT } from './dial.job';
import { draftCallEvent, type SettleDeps } from './settle';

export interface DialplanDeps extends SettleDeps {
  directory: Directory;
  secretKey: Buffer;
  rooms: EnteringDeps;
  /** The grant that this SIP user name belongs to; undefined where it is none, or over. */
  findGrantOfUser: (username: string, domain: string) => Promise<GrantView | undefined>;
}

const RING_SECONDS = 30;
/** Long enough for a call to cross the pool, too short to be kept and used. */
const TOKEN_SECONDS = 60;
/** A phone's call of two legs. */
const PHONE_CALL_UNITS = 1;

/** Where users were last seen, for the time in which Postgres is away; the longest unasked go first. */
const lastSeen = new Map<string, NamedRegistration[]>();
const REMEMBERED_USERS = 50_000;

async function readRegistrations(deps: DialplanDeps, userId: string): Promise<NamedRegistration[]> {
  try {
    const rows = await findRegistrationsOfUsers(deps.db, [userId]);
    lastSeen.delete(userId);
    lastSeen.set(userId, rows);
    if (lastSeen.size > REMEMBERED_USERS) lastSeen.delete(lastSeen.keys().next().value!);
    return rows;
  } catch (error) {
    const known = lastSeen.get(userId);
    if (!known || !isUnreachable(error)) throw error;
    return known;
  }
}

/** The way to a user for the node that asks; other nodes get a token that only they can use, for this user and call. */
export async function reachUser(
  deps: DialplanDeps,
  node: NodeRow,
  user: DirectoryUser,
  o: { callId: string; leg: 'from' | 'to'; ownOnly?: boolean },
): Promise<string> {
  const rows = await readRegistrations(deps, user.id);
  const contacts: ReachableContact[] = rows
    .filter((row) => !o.ownOnly || row.node_id === node.id)
    .map((row) => ({
      node: row.node_name,
      host: row.node_host,
      internodePort: row.internode_port,
      contact: row.contact,
      profile: row.profile,
      ...(row.grant_id ? { grantId: row.grant_id } : {}),
    }));
  const exp = Math.floor(Date.now() / 1000) + TOKEN_SECONDS;
  return dialStringTo({
    username: user.username,
    domain: user.domain,
    thisNode: node.name,
    contacts,
    token: (target) =>
      signToken(deps.secretKey, { c: o.callId, n: target, u: `${user.username}@${user.domain}`, l: o.leg, exp }),
    callId: o.callId,
    createId: () => createId(),
    leg: o.leg,
  });
}

/** Answers `user/NAME@DOMAIN` of a node that is about to ring somebody. */
export async function reachForCall(
  deps: DialplanDeps,
  node: NodeRow,
  request: UserRequest,
  user: DirectoryUser,
): Promise<string> {
  return reachUser(deps, node, user, {
    callId: request.callId ?? createId(),
    leg: request.legRole === 'from' ? 'from' : 'to',
  });
}

/** @returns the plan; a refusal is a plan too. @throws unavailable where it can't be known who is called. */
export async function answerDialplan(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  switch (request.context) {
    case CALLS_CONTEXT:
      return continueCall(deps, node, request);
    case ROOMS_CONTEXT:
      return reenterRoom(deps.rooms, node, request);
    case CANARY_CONTEXT:
      return answerCanary(deps, node, request);
    case 'users':
      return answerPhone(deps, node, request);
    case 'internode':
      return deliverCall(deps, node, request);
    default:
      return refusePlan({ context: request.context, sipStatus: 404, reason: 'No such context' });
  }
}

/** The caller's phone has answered a call that we placed: now the other end is rung. */
async function continueCall(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const call = request.callId ? await findCall(deps.db, request.callId) : undefined;
  const context = request.context;
  if (!call || call.state === 'ended' || call.hangup_requested_at) {
    return refusePlan({ context, sipStatus: 410, reason: 'The call is over' });
  }
  const from = parseAddress(call.from_address);
  const caller = from.kind === 'user' ? await deps.directory.findUser(from.username, call.domain_name) : undefined;
  const to = parseAddress(call.to_address);
  if (to.kind === 'room') {
    const room = await findRoomByName(deps.db, call.domain_name, to.name);
    if (!room) return refusePlan({ context, callId: call.id, sipStatus: 404, reason: 'No such room' });
    const who: RoomCaller = caller
      ? callerOf(caller)
      : { kind: 'number', identity: `number:${call.from_address}`, name: call.caller_name, number: '' };
    // Whoever asked for the call over REST may put the user into the room: no PIN is asked.
    const invited = { ...who, role: 'participant' as const };
    return enterRoom(deps.rooms, node, { request, room, who: invited, call: { callId: call.id } });
  }
  return connectTo(deps, to, call.domain_name, {
    context,
    callId: call.id,
    callerName: caller?.displayName || caller?.username || '',
    callerNumber: caller?.callerNumber ?? '',
    ringTimeoutSeconds: call.ring_timeout_seconds,
  });
}

interface Caller {
  context: string;
  callId: string;
  legRole?: 'from';
  callerName: string;
  callerNumber: string;
  ringTimeoutSeconds: number;
}

async function connectTo(deps: DialplanDeps, to: Address, domain: string, caller: Caller): Promise<string> {
  if (to.kind === 'service') return echoPlan(caller);
  if (to.kind !== 'user') return refusePlan({ ...caller, sipStatus: 404, reason: 'No way to that address' });
  const user = await deps.directory.findUser(to.username, domain);
  if (!user) return refusePlan({ ...caller, sipStatus: 404, reason: 'No such number' });
  if (!user.enabled) return refusePlan({ ...caller, sipStatus: 480, reason: 'The user is disabled' });
  return bridgeToUserPlan({ ...caller, username: user.username, domain: user.domain });
}

const callerOf = (user: DirectoryUser): RoomCaller => ({
  kind: 'user',
  identity: `user:${user.username}`,
  name: user.displayName || user.username,
  number: user.callerNumber,
  userId: user.id,
});

/** A grant for a room leads into that room, whatever is dialled. */
async function answerGuest(
  deps: DialplanDeps,
  node: NodeRow,
  request: DialplanRequest,
  grant: GrantView,
): Promise<string> {
  const { context } = request;
  const room = grant.roomId ? await findRoom(deps.db, grant.roomId) : undefined;
  if (!room) return refusePlan({ context, sipStatus: 404, reason: 'The room is no more' });
  const from = { address: `guest:${grant.id}`, domainId: room.domain_id, name: grant.name };
  const callId = await recordPhoneCall(deps, node, request, from, `room:${room.name}`, createId());
  const who: RoomCaller = {
    kind: 'grant',
    identity: grant.identity,
    name: grant.name,
    number: '',
    role: grant.role,
    grantId: grant.id,
    userId: grant.userId ?? undefined,
    maxVideoKbps: grant.maxVideoKbps ?? undefined,
  };
  return enterRoom(deps.rooms, node, { request, room, who, call: { callId, legRole: 'from' } });
}

/** The user behind a login: their own, or that of a grant made for them. */
async function findCaller(
  deps: DialplanDeps,
  username: string,
  domain: string,
): Promise<DirectoryUser | GrantView | undefined> {
  const grant = await deps.findGrantOfUser(username, domain);
  if (grant?.kind === 'room') return grant;
  return deps.directory.findUser(grant?.username ?? username, domain);
}

/** Digits that are no user's may be a room's. */
async function readTarget(deps: DialplanDeps, text: string, domain: string): Promise<[Address?, RoomRow?]> {
  const to = readDialled(text);
  if (to?.kind !== 'user' || (await deps.directory.findUser(to.username, domain))) return [to];
  const room = await findRoomByName(deps.db, domain, to.username);
  return room ? [{ kind: 'room', name: room.name }, room] : [to];
}

/** A registered phone dials. Whom it calls is looked up in its own domain only. */
async function answerPhone(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const { context } = request;
  if (!request.username || !request.domain) return refusePlan({ context, sipStatus: 403, reason: 'Not authenticated' });
  const caller = await findCaller(deps, request.username, request.domain);
  if (caller && 'kind' in caller) return answerGuest(deps, node, request, caller);
  if (!caller?.enabled) return refusePlan({ context, sipStatus: 403, reason: 'Not allowed to call' });
  const [to, room] = await readTarget(deps, request.destination, caller.domain);
  const from = { address: `user:${caller.username}`, domainId: caller.domainId, name: caller.displayName };
  const dialled = to ? formatAddress(to) : request.destination.slice(0, 128);
  const kept = await recordPhoneCall(deps, node, request, from, dialled, createId());
  if (room) {
    const call = { callId: kept, legRole: 'from' as const };
    return enterRoom(deps.rooms, node, { request, room, who: callerOf(caller), call });
  }
  const plan = {
    context,
    callId: kept,
    legRole: 'from' as const,
    callerName: caller.displayName || caller.username,
    callerNumber: caller.callerNumber,
    ringTimeoutSeconds: RING_SECONDS,
  };
  if (!to) return refusePlan({ ...plan, sipStatus: 484, reason: 'Not a number' });
  return connectTo(deps, to, caller.domain, plan);
}

/** A phone's digits are an address without scheme; a scheme typed on a phone is no address. */
function readDialled(text: string): Address | undefined {
  try {
    return text.includes(':') ? undefined : parseAddress(text);
  } catch (error) {
    if (error instanceof SwitchyardError) return undefined;
    throw error;
  }
}

/**
 * Writes the call down before the node goes on. A node may ask twice for the same leg: the first answer counts.
 * While Postgres is away the phone's call goes on without a row; its record (CDR) is kept when it comes.
 * @returns the call's id.
 */
async function recordPhoneCall(
  deps: DialplanDeps,
  node: NodeRow,
  request: DialplanRequest,
  from: { address: string; domainId: string; name: string },
  to: string,
  callId: string,
): Promise<string> {
  const now = new Date();
  const row: Partial<CallRow> & { id: string } = {
    id: callId,
    domain_id: from.domainId,
    origin: 'phone',
    from_address: from.address,
    to_address: to,
    caller_name: from.name,
    state: 'placing',
    node_id: node.id,
    units: String(PHONE_CALL_UNITS),
    ring_timeout_seconds: RING_SECONDS,
    place_before: now,
    queued_at: now,
    placing_at: now,
  };
  try {
    const known = await findLeg(deps.db, request.legId);
    if (known) return known.call_id;
    await deps.log.record(async (trx, emit) => {
      await insertCall(trx, row);
      // The asking process says which it is; what we have of the node may be of the one before.
      const core = request.coreUuid ?? node.core_uuid;
      const leg = { leg_id: request.legId, node_id: node.id, node_name: node.name, node_core_uuid: core };
      await insertAttempt(trx, { call_id: callId, number: 1, placed_at: now, ...leg });
      const address = row.from_address!;
      await insertLeg(trx, {
        id: request.legId,
        call_id: callId,
        node_id: node.id,
        role: 'from',
        address,
        state: 'placing',
        created_at: now,
      });
      emit(draftCallEvent('call.placing', row as CallRow, { node: node.name, attempt: 1, origin: 'phone' }));
    });
  } catch (error) {
    if (!isUnreachable(error)) throw error;
    deps.logger.warn(
      { callId, node: node.name },
      'a phone calls while the database is away: the call goes on unwritten',
    );
    return markUnwritten(callId);
  }
  await deps.claims.claim(node.id, callId, PHONE_CALL_UNITS, null, now.getTime()).catch(() => undefined); // the sweep claims it when Redis is back
  return callId;
}

/** Another node hands over a call: its address proves nothing, its token names this node, the user and the call. */
async function deliverCall(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const { context } = request;
  const claims = request.token ? readToken(deps.secretKey, request.token, Date.now()) : undefined;
  const [username, domain] = String(claims?.u ?? '').split('@');
  if (claims && claims.n === node.name && claims.r && request.destination === ROOM_EXTENSION) {
    return deliverToRoom(deps.rooms, node, request, claims);
  }
  if (!claims || claims.n !== node.name || !username || !domain || username !== request.destination) {
    deps.logger.warn({ node: node.name, from: request.networkIp }, 'a call without a valid token was refused');
    return refusePlan({ context, sipStatus: 403, reason: 'No valid token' });
  }
  const user = await deps.directory.findUser(username, domain);
  if (!user?.enabled) return refusePlan({ context, sipStatus: 404, reason: 'No such user' });
  const callId = String(claims.c);
  const deliveredLeg = claims.l === 'from' ? ('from' as const) : ('to' as const);
  const dialString = await reachUser(deps, node, user, { callId, leg: deliveredLeg, ownOnly: true });
  const call = await findCall(deps.db, callId).catch(() => undefined);
  const ringTimeoutSeconds = call?.ring_timeout_seconds ?? RING_SECONDS;
  return internodeDeliveryPlan({ context, callId, dialString, deliveredLeg, ringTimeoutSeconds });
}
