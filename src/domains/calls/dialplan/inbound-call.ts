/** Answers a phone or a browser that dials: who they are, whom they may reach, and the call that is written down first. */
import { SwitchyardError } from '../../../errors';
import { isUnreachable, violatedUnique } from '../../../infra/stores/db';
import { createId, markUnwritten } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import { keepableText } from '../../../infra/text/plain-text';
import { refusePlan, type DialplanRequest } from '../../../freeswitch/xml';
import type { GrantView } from '../../grants/grant-directory';
import type { NodeRow } from '../../nodes/nodes.store';
import { enterRoom, type RoomCaller } from '../../rooms/joining/join.dialplan';
import { HIDDEN, hiddenIdentity } from '../../rooms/participants/hidden';
import { findRoom } from '../../rooms/rooms.store';
import type { DirectoryUser } from '../../users/directory';
import { formatAddress } from '../address';
import { resolveAddress, type Resolved } from './resolve-address';
import { findLeg, insertAttempt, insertCall, insertLeg, type CallRow, type LegRow } from '../calls.store';
import { connectTo, RING_SECONDS, type DialplanDeps } from './contacts';
import { noteDialledOn } from './redialling/dialled-on';
import { draftCallEvent } from '../events/reduction';

/** A phone's call of two legs. */
const PHONE_CALL_UNITS = 1;

/**
 * A user at the door of a room.
 * @param hiddenCallId the call, where they hide: it says who they are, and wrong PINs are counted as theirs
 */
export function callerOf(user: DirectoryUser, hiddenCallId?: string): RoomCaller {
  const identity = `user:${user.username}`;
  const common = { kind: 'user' as const, userId: user.id };
  if (hiddenCallId === undefined)
    return { ...common, identity, name: user.displayName || user.username, number: user.callerNumber };
  return { ...common, identity: hiddenIdentity(hiddenCallId), name: HIDDEN.name, number: '', countedAs: identity };
}

/** What who is called is shown of the caller. */
export function shownCaller(user: DirectoryUser | undefined, isHidden: boolean) {
  if (isHidden) return { callerName: HIDDEN.name, callerNumber: HIDDEN.number };
  return { callerName: user?.displayName || user?.username || '', callerNumber: user?.callerNumber ?? '' };
}

/** A grant for a room leads into that room, whatever is dialled. */
async function answerGuest(
  deps: DialplanDeps,
  node: NodeRow,
  request: DialplanRequest,
  grant: GrantView,
): Promise<string> {
  const { context } = request;
  const room = grant.roomId ? await findRoom(deps.db, grant.roomId) : undefined;
  if (!room) return refusePlan({ context, sipStatus: 404, reason: 'The room was deleted' });
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

/** A scheme typed on a phone is no address. @returns undefined where nothing can be meant by it */
export async function readTarget(deps: DialplanDeps, text: string, domain: string): Promise<Resolved | undefined> {
  if (text.includes(':')) return undefined;
  try {
    // The user part of a SIP address, in which some phones escape what they need not; parameters may stand behind it.
    return await resolveAddress(deps, decodeURIComponent(text.replace(/;.*$/s, '')), domain);
  } catch (error) {
    if (error instanceof URIError || (error instanceof SwitchyardError && error.code === 'invalid_address'))
      return undefined;
    throw error;
  }
}

/** A registered phone dials. Where its domain has used up a quota it is refused at once, and nothing is written down. */
export async function answerPhone(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  try {
    return await answerCaller(deps, node, request);
  } catch (error) {
    if (!(error instanceof SwitchyardError) || error.code !== 'quota_exceeded') throw error;
    const reason = `The domain has used up its quota ${error.quota?.quota ?? ''}`;
    return refusePlan({ context: request.context, sipStatus: 503, reason });
  }
}

/** Whom it calls is looked up in its own domain only. @throws quota_exceeded */
async function answerCaller(deps: DialplanDeps, node: NodeRow, request: DialplanRequest): Promise<string> {
  const { context } = request;
  if (!request.username || !request.domain) return refusePlan({ context, sipStatus: 403, reason: 'Not authenticated' });
  if (!(await deps.wasShown(node.id, request.username, request.domain, true))) {
    deps.refuseReport?.(node, 'caller', { username: request.username.slice(0, 64), leg: request.legId.slice(0, 64) });
    return refusePlan({ context, sipStatus: 403, reason: 'No login by that name on this node' });
  }
  const caller = await findCaller(deps, request.username, request.domain);
  if (caller && 'kind' in caller) return answerGuest(deps, node, request, caller);
  if (!caller?.enabled) return refusePlan({ context, sipStatus: 403, reason: 'Not allowed to call' });
  const { address: to, room } = (await readTarget(deps, request.destination, caller.domain)) ?? {};
  const from = { address: `user:${caller.username}`, domainId: caller.domainId, name: caller.displayName };
  const dialled = to ? formatAddress(to) : keepableText(request.destination, 128);
  const kept = await recordPhoneCall(deps, node, request, from, dialled, createId());
  if (room) {
    const call = { callId: kept, legRole: 'from' as const };
    const who = callerOf(caller, request.isHidden ? kept : undefined);
    return enterRoom(deps.rooms, node, { request, room, who, call });
  }
  const plan = {
    context,
    callId: kept,
    legRole: 'from' as const,
    ...shownCaller(caller, request.isHidden),
    ringTimeoutSeconds: RING_SECONDS,
  };
  if (!to) return refusePlan({ ...plan, sipStatus: 484, reason: 'Not a number' });
  return connectTo(deps, node, to, caller.domain, plan);
}

/**
 * Writes the call down before the node goes on. A node may ask twice for the same leg: the first answer counts.
 * While Postgres is away the phone's call goes on without a row; its record (CDR) is kept when it comes.
 * @returns the call's id. @throws quota_exceeded
 */
async function recordPhoneCall(
  deps: DialplanDeps,
  node: NodeRow,
  request: DialplanRequest,
  from: { address: string; domainId: string; name: string },
  to: string,
  callId: string,
): Promise<string> {
  const now = storeClock.now();
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
    if (known) {
      const own = ownCall(deps, known, node);
      await noteDialledOn(deps, known, to); // something at the node has sent it on: the same number changes nothing
      return own;
    }
    await deps.quotas.spend(from.domainId, 'callsPerSecond');
    const wanted = { ringingCalls: 1, units: PHONE_CALL_UNITS };
    await deps.quotas.check(from.domainId, wanted);
    await deps.log.record(async (trx, emit) => {
      await deps.quotas.take(trx, from.domainId, wanted);
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
    const first = violatedUnique(error) ? await findLeg(deps.db, request.legId) : undefined;
    if (first) return ownCall(deps, first, node); // its first question is being answered at the same moment
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

/** @throws forbidden where the channel is another node's: a node could name it to get into that call. */
function ownCall(deps: DialplanDeps, leg: Pick<LegRow, 'id' | 'call_id' | 'node_id'>, node: NodeRow): string {
  if (leg.node_id === node.id) return leg.call_id;
  deps.refuseReport?.(node, 'plan', { leg: leg.id, callId: leg.call_id });
  throw new SwitchyardError('forbidden', 'That channel is of another node.');
}
