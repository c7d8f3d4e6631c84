/** Finds the way to whoever is called: the contacts of a user all over the pool, or the echo. */
import { createTokenId, type BindToken } from '../../../infra/secrets/bound-tokens';
import { isUnreachable } from '../../../infra/stores/db';
import { createId, isId, isUnwritten } from '../../../infra/ids';
import { signToken } from '../../../infra/secrets';
import { storeClock } from '../../../infra/store-clock';
import {
  bridgeToUserPlan,
  dialStringTo,
  echoPlan,
  refusePlan,
  type MediaTimeouts,
  type ReachableContact,
  type UserRequest,
} from '../../../freeswitch/xml';
import type { GrantView } from '../../grants/grant-directory';
import type { NodeRow } from '../../nodes/nodes.store';
import type { Quotas } from '../../quotas/quotas';
import type { EnteringDeps } from '../../rooms/joining/join.dialplan';
import { selectRingable } from '../../registrations/ringable';
import type { Directory, DirectoryUser } from '../../users/directory';
import type { Address } from '../address';
import type { RememberedPhones } from '../dialing/remembered-phones';
import { findCall } from '../calls.store';
import type { CallEndDeps } from '../events/move-calls';

export interface DialplanDeps extends CallEndDeps {
  directory: Directory;
  secretKey: Buffer;
  /** Where the phones of who is called are. */
  phones: RememberedPhones;
  /** Binds a token between nodes to the channel that shows it first. */
  bindToken: BindToken;
  rooms: EnteringDeps;
  quotas: Pick<Quotas, 'spend' | 'check' | 'take'>;
  /** Where a phone's media may go beside where it signals from. */
  mediaNetworks: readonly string[];
  /** How long phones may be silent before their legs end. */
  mediaTimeouts: MediaTimeouts;
  /** The grant that this SIP user name belongs to; undefined where it is none, or over. */
  findGrantOfUser: (username: string, domain: string) => Promise<GrantView | undefined>;
  /** Lets a call out of a draining node that turns phones away; not needed where none does. */
  openDoor?: (nodeId: string) => Promise<void>;
  /** Whether this login was proved at that node lately. */
  wasShown: (nodeId: string, username: string, domain: string, isCaller?: boolean) => Promise<boolean>;
}

/** How long a phone rings where nobody said otherwise. */
export const RING_SECONDS = 30;
/** Long enough for a call to cross the pool, too short to be kept and used. */
const TOKEN_SECONDS = 60;

/** The way to a user for the node that asks; other nodes get a token that only they can use, for this user and call. */
export async function findContacts(
  deps: DialplanDeps,
  node: NodeRow,
  user: DirectoryUser,
  o: { callId: string; attemptLegId?: string; leg: 'from' | 'to'; ownOnly?: boolean },
): Promise<string> {
  const rows = await deps.phones.read(user.id);
  const rung = selectRingable(rows).filter((row) => !o.ownOnly || row.node_id === node.id);
  if (rung.some((row) => row.node_id === node.id && row.node_refuses_phones)) await deps.openDoor?.(node.id);
  const contacts: ReachableContact[] = rung.map((row) => ({
    node: row.node_name,
    host: row.node_host,
    internodePort: row.internode_port,
    contact: row.contact,
    profile: row.profile,
    registrationId: row.id,
    source: { networkIp: row.network_ip, networkPort: row.network_port ?? 0, transport: row.transport },
    ...(row.grant_id ? { grantId: row.grant_id } : {}),
  }));
  const exp = Math.floor(storeClock.nowMs() / 1000) + TOKEN_SECONDS;
  const carried: Record<string, string> = o.attemptLegId ? { a: o.attemptLegId } : {};
  return dialStringTo({
    userId: user.id,
    username: user.username,
    domain: user.domain,
    thisNode: node.name,
    contacts,
    token: (target) =>
      signToken(deps.secretKey, 'call', {
        c: o.callId,
        n: target,
        u: `${user.username}@${user.domain}`,
        l: o.leg,
        i: createTokenId(),
        exp,
        ...carried,
      }),
    callId: o.callId,
    createId: () => createId(),
    leg: o.leg,
    mediaTimeouts: deps.mediaTimeouts,
  });
}

/**
 * Answers `user/NAME@DOMAIN` of a node that is about to ring somebody. Only a node that places a call gets the way to its
 * ends all over the pool; any other gets what it knows anyhow: who is registered at itself.
 */
export async function findContactsForCall(
  deps: DialplanDeps,
  node: NodeRow,
  request: UserRequest,
  user: DirectoryUser,
): Promise<string> {
  const { callId, attemptLegId } = request;
  const leg = request.legRole === 'from' ? 'from' : 'to';
  if (callId && (await isOwnCallTo(deps, node, callId, user))) {
    return findContacts(deps, node, user, { callId, attemptLegId, leg });
  }
  if (callId) deps.refuseReport?.(node, 'user_call', { callId: callId.slice(0, 64) });
  return findContacts(deps, node, user, { callId: createId(), leg, ownOnly: true });
}

/** While Postgres is away the node is believed: no node can make it go away. */
async function isOwnCallTo(deps: DialplanDeps, node: NodeRow, callId: string, user: DirectoryUser): Promise<boolean> {
  if (!isId(callId)) return false;
  try {
    const call = await findCall(deps.db, callId);
    if (!call || call.state === 'ended' || call.node_id !== node.id) return false;
    const ends = [call.from_address, call.to_address];
    return call.domain_name === user.domain && ends.includes(`user:${user.username}`);
  } catch (error) {
    if (!isUnreachable(error)) throw error;
    return true;
  }
}

export interface Caller {
  context: string;
  callId: string;
  legRole?: 'from';
  callerName: string;
  callerNumber: string;
  ringTimeoutSeconds: number;
}

/** Rings whoever is dialled, as far as there is a way. A call that could not be written down can't be asked about later. */
export async function connectTo(
  deps: DialplanDeps,
  node: NodeRow,
  to: Address,
  domain: string,
  caller: Caller,
): Promise<string> {
  if (to.kind === 'service') return echoPlan(caller);
  if (to.kind !== 'user') return refusePlan({ ...caller, sipStatus: 404, reason: 'No route to that address' });
  const user = await deps.directory.findUser(to.username, domain);
  if (!user) return refusePlan({ ...caller, sipStatus: 404, reason: 'No such number' });
  if (!user.enabled) return refusePlan({ ...caller, sipStatus: 480, reason: 'The user is disabled' });
  const { callId } = caller;
  const dialString = isUnwritten(callId) ? await findContacts(deps, node, user, { callId, leg: 'to' }) : undefined;
  return bridgeToUserPlan({ ...caller, username: user.username, domain: user.domain, dialString });
}
