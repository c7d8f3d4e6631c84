/** Knows where every user's phones are: from the nodes' events as they happen, and from a snapshot after a reconnect. */
import { type Db, type Queryable, type Trx } from '../../infra/stores/db';
import { createId } from '../../infra/ids';
import type { Logger } from '../../infra/logger';
import { storeClock } from '../../infra/store-clock';
import { flushRegistration, type ApiCommand } from '../../freeswitch/esl';
import type { RegisteredEvent, RegistrationRow } from '../../freeswitch/esl';
import type { EventLog } from '../events/events';
import type { EventDraft } from '../events/events.store';
import { draftGrantEvent } from '../grants/grants';
import { isGrantName } from '../grants/grant-name';
import { markUsed } from '../grants/grants.store';
import type { NodeRow } from '../nodes/nodes.store';
import type { RefuseReport } from '../nodes/trust/refused-reports';
import type { Quotas } from '../quotas/quotas';
import type { ShownLogins } from '../users/shown-logins';
import { type AskingDeps } from './still-there';
import { phoneKeyOf } from './phone-key';
import { isPlausible, mayBeFlushed } from './plausible';
import {
  deleteExpiredRegistrations,
  deleteRegistrations,
  deleteSamePhone,
  isKnownElsewhere,
  findRegistrationsOfUsers,
  findHolder,
  listSurplus,
  lockRegistrationsOf,
  upsertRegistration,
  type NewRegistration,
  type RegistrationRecord,
} from './registrations.store';

export interface RegistrationDeps extends AskingDeps {
  db: Db;
  log: EventLog;
  quotas: Pick<Quotas, 'limitOf' | 'refuse'>;
  logger: Logger;
  /** Tells the node to let a phone go; nobody waits for it. */
  flush: (nodeId: string, command: ApiCommand) => void;
  /** Whether a password was proved at that node lately: only then is it believed of a registration. */
  shownLogins: Pick<ShownLogins, 'wasShown' | 'shownAtMs'>;
  refuseReport: RefuseReport;
}

/** As the API shows it with its user. */
export interface Registration {
  id: string;
  node: string;
  contact: string;
  transport: string;
  userAgent: string;
  networkIp: string;
  registeredAt: string;
  /** Nobody has heard of it since its node was started anew. */
  unproven: boolean;
  expiresAt: string;
}

/** What the profile allows (`sip-force-expires-max`): a node that tells of more has another profile. */
const LONGEST_SECONDS = 3600;

/** FreeSWITCH ends a registration up to this long after its time; until then it still works. */
const EXPIRY_GRACE_MS = 60_000;

export type Emit = (draft: EventDraft) => void;

export function draftOf(type: string, row: NewRegistration, data: Record<string, unknown>): EventDraft {
  return { stream: row.domain_id, type, userId: row.user_id, nodeId: row.node_id, data };
}

export const describe = (row: NewRegistration): Record<string, unknown> => ({
  ...(row.grant_id ? { grantId: row.grant_id } : {}),
  contact: row.contact,
  transport: row.transport,
  userAgent: row.user_agent,
  networkIp: row.network_ip,
});

/**
 * A user may have so many phones: a further one takes the place of the one not seen for longest, as a phone that was
 * started anew does. One at a time for each user, so that no two count without each other.
 */
async function dropSurplus(deps: RegistrationDeps, trx: Trx, emit: Emit, row: NewRegistration): Promise<void> {
  const limit = await deps.quotas.limitOf(row.domain_id, 'registrationsPerUser', trx);
  const ids = await listSurplus(trx, row.user_id, limit);
  if (ids.length === 0) return;
  deps.quotas.refuse(row.domain_id, { quota: 'registrationsPerUser', limit, used: limit + ids.length });
  for (const gone of await deleteRegistrations(trx, { user_id: row.user_id, ids })) {
    emit(draftOf('registration.ended', gone, { reason: 'too_many', ...describe(gone) }));
    await letGo(deps, trx, gone);
  }
}

/** Has the node forget a phone: else it lists it, and would ring it, until its time is over. */
async function letGo(deps: RegistrationDeps, trx: Trx, gone: RegistrationRecord): Promise<void> {
  if (await mayBeFlushed(trx, gone.node_id, gone.sip_call_id))
    deps.flush(gone.node_id, flushRegistration(gone.profile, gone.sip_call_id));
}

/** A phone is one, whatever Call-ID it has now and wherever it registers: it was started anew, or has changed its node. */
async function dropLeftBehind(
  deps: RegistrationDeps,
  trx: Trx,
  emit: Emit,
  o: { node: NodeRow; row: NewRegistration },
): Promise<void> {
  for (const gone of await deleteSamePhone(trx, o.row)) {
    const by = gone.node_id === o.row.node_id ? { node: o.node.name } : {};
    emit(draftOf('registration.ended', gone, { ...by, reason: 'replaced', ...describe(gone) }));
    // The same contact at the same node is one there as well (multiple-registrations=contact).
    if (gone.node_id !== o.row.node_id || gone.contact !== o.row.contact) await letGo(deps, trx, gone);
  }
}

export type FoundRegistration = Omit<RegisteredEvent, 'type' | 'status' | 'atMs'>;

/** A node is believed of phones that have proved their password there, in words that a phone can have said. */
export async function isBelieved(deps: RegistrationDeps, node: NodeRow, found: FoundRegistration): Promise<boolean> {
  const { username, domain } = found;
  if (isPlausible(found) && (await deps.shownLogins.wasShown(node.id, username, domain))) return true;
  deps.refuseReport(node, 'registration', { username: username.slice(0, 64), domain: domain.slice(0, 253) });
  return false;
}

export async function saveRegistration(
  deps: RegistrationDeps,
  trx: Trx,
  emit: Emit,
  node: NodeRow,
  found: FoundRegistration,
  nowMs: number,
  unproven = false,
): Promise<void> {
  const user = await findHolder(trx, found.username, found.domain, isGrantName(found.username));
  if (!user?.enabled || user.grant_revoked_at) return;
  // Nobody is called over a grant that has expired, whatever the node still lists.
  const endsMs = nowMs + Math.min(found.expiresSeconds, LONGEST_SECONDS) * 1000 + EXPIRY_GRACE_MS;
  const expiresMs = Math.min(endsMs, user.grant_expires_at?.getTime() ?? Infinity);
  if (expiresMs <= nowMs) return;
  const now = new Date(nowMs);
  const row: NewRegistration = {
    id: createId(nowMs),
    node_id: node.id,
    domain_id: user.domain_id,
    user_id: user.id,
    sip_call_id: found.sipCallId,
    contact: found.contact,
    profile: found.profile,
    user_agent: found.userAgent,
    network_ip: found.networkIp,
    network_port: found.networkPort || null,
    transport: found.transport,
    registered_at: now,
    refreshed_at: now,
    expires_at: new Date(expiresMs),
    grant_id: user.grant_id,
    phone_key: phoneKeyOf(found),
    unproven,
  };
  // It has gone there meanwhile: what is listed here is what it left.
  if (unproven && (await isKnownElsewhere(trx, row))) return forgetListed(deps, trx, node, found);
  const kept = await upsertRegistration(trx, row);
  row.id = kept.id;
  if (kept.isNew || kept.isMoved) await lockRegistrationsOf(trx, row.user_id);
  if (kept.isMoved) await dropLeftBehind(deps, trx, emit, { node, row });
  if (kept.isNew) {
    if (!unproven) await dropLeftBehind(deps, trx, emit, { node, row });
    emit(draftOf('registration.created', row, { username: user.username, node: node.name, ...describe(row) }));
    const used = row.grant_id ? await markUsed(trx, row.grant_id, now) : undefined;
    if (used) emit(draftGrantEvent('grant.used', used, { by: 'register', node: node.name }));
    await dropSurplus(deps, trx, emit, row);
  }
}

export async function takeRegistered(deps: RegistrationDeps, node: NodeRow, event: RegisteredEvent): Promise<void> {
  if (!(await isBelieved(deps, node, event))) return;
  await deps.log.record((trx, emit) => saveRegistration(deps, trx, emit, node, event, storeClock.nowMs()));
}

/** The node would ring it for as long as it lists it. */
export async function forgetListed(
  deps: Pick<RegistrationDeps, 'flush'>,
  db: Queryable,
  node: NodeRow,
  { profile, sipCallId }: Pick<RegistrationRow, 'profile' | 'sipCallId'>,
): Promise<void> {
  if (profile === 'internal' && (await mayBeFlushed(db, node.id, sipCallId)))
    deps.flush(node.id, flushRegistration(profile, sipCallId));
}

export async function endRegistrations(
  trx: Trx,
  emit: Emit,
  node: NodeRow,
  ids: string[] | undefined,
  reason: string,
): Promise<void> {
  const gone = await deleteRegistrations(trx, { node_id: node.id, ...(ids ? { ids } : {}) });
  for (const row of gone.filter(isLiving))
    emit(draftOf('registration.ended', row, { node: node.name, reason, ...describe(row) }));
}

/** The end of one that a call found dead is told already. */
const isLiving = (row: RegistrationRecord): boolean => row.unreachable_at === null;

/** A dead node reaches nobody. */
export async function dropRegistrations(deps: Pick<RegistrationDeps, 'log'>, node: NodeRow): Promise<void> {
  await deps.log.record((trx, emit) => endRegistrations(trx, emit, node, undefined, 'node_down'));
}

/** Ends those whose time is over and of which no node has said so. */
export async function expireRegistrations(deps: Pick<RegistrationDeps, 'log'>, now: Date): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    for (const row of await deleteExpiredRegistrations(trx, now)) {
      emit(draftOf('registration.ended', row, { reason: 'expired', ...describe(row) }));
    }
  });
}

/** For GET /v1/users: user id → where their phones are. */
export async function listRegistrations(db: Db, userIds: readonly string[]): Promise<Map<string, Registration[]>> {
  const byUser = new Map<string, Registration[]>(userIds.map((id) => [id, []]));
  if (userIds.length === 0) return byUser;
  for (const row of await findRegistrationsOfUsers(db, userIds)) {
    byUser.get(row.user_id)?.push({
      id: row.id,
      node: row.node_name,
      contact: row.contact,
      transport: row.transport,
      userAgent: row.user_agent,
      networkIp: row.network_ip,
      registeredAt: row.registered_at.toISOString(),
      unproven: row.unproven,
      expiresAt: row.expires_at.toISOString(),
    });
  }
  return byUser;
}

/** A grant or user that is over reaches nobody, whatever its nodes still list. */
export async function dropRegistrationsOf(
  trx: Trx,
  emit: Emit,
  whose: { grant_id: string } | { user_id: string; grant_id?: null },
  reason: 'revoked' | 'grant_expired' | 'user_disabled' | 'user_deleted' | 'password_changed',
): Promise<void> {
  for (const row of (await deleteRegistrations(trx, whose)).filter(isLiving)) {
    emit(draftOf('registration.ended', row, { reason, ...describe(row) }));
  }
}
