/** Knows where every user's phones are, and tells of those that end all at once: with their node, user, grant or time. */
import type { Db, Trx } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { ApiCommand } from '../../freeswitch/esl';
import type { EventLog } from '../events/events';
import type { EventDraft } from '../events/events.store';
import type { NodeRow } from '../nodes/nodes.store';
import type { RefuseReport } from '../nodes/trust/refused-reports';
import type { Quotas } from '../quotas/quotas';
import type { ShownLogins } from '../users/shown-logins';
import type { LateProofs } from './events/late-proofs';
import type { AskingDeps } from './still-there';
import {
  deleteExpiredRegistrations,
  deleteRegistrations,
  findRegistrationsOfUsers,
  type RegistrationRow,
} from './registrations.store';

export interface RegistrationDeps extends AskingDeps {
  db: Db;
  log: EventLog;
  quotas: Pick<Quotas, 'limitOf' | 'refuse'>;
  logger: Logger;
  /** Tells the node to let a phone go; nobody waits for it. */
  flush: (nodeId: string, command: ApiCommand) => void;
  /** Whether a password was proved at that node lately: only then is it believed of a registration. */
  shownLogins: Pick<ShownLogins, 'isShown' | 'wasShown' | 'shownAtMs'>;
  lateProofs: LateProofs;
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
  /** Nobody has heard of it since its node was started again. */
  unproven: boolean;
  expiresAt: string;
}

export type Emit = (draft: EventDraft) => void;

export function draftOf(type: string, row: RegistrationRow, data: Record<string, unknown>): EventDraft {
  return { stream: row.domain_id, type, userId: row.user_id, nodeId: row.node_id, data };
}

export const describe = (row: RegistrationRow): Record<string, unknown> => ({
  ...(row.grant_id ? { grantId: row.grant_id } : {}),
  contact: row.contact,
  transport: row.transport,
  userAgent: row.user_agent,
  networkIp: row.network_ip,
});

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
export const isLiving = (row: RegistrationRow): boolean => row.unreachable_at === null;

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
