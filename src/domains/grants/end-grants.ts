/** Ends what a grant still has at the nodes when it is over: at once where it is revoked, by a sweep where it expires. */
import { SwitchyardError } from '../../errors';
import {
  flushRegistrationsOf,
  flushUserCache,
  hangUpMatching,
  parseRegistrations,
  PHONE_PROFILE,
  showRegistrations,
  type ApiCommand,
  type NodeConnection,
} from '../../freeswitch/esl';
import { GRANT_VARIABLE } from '../../freeswitch/xml';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { Caller } from '../../infra/route';
import type { EventLog } from '../events/events';
import { dropRegistrationsOf } from '../registrations/registrations';
import { noteLeaveReason } from '../rooms/participants/leave-reasons.store';
import { draftGrantEvent } from './grants';
import { isGrantName } from './grant-name';
import * as store from './grants.store';

export interface OverDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  links: { broadcast(command: ApiCommand): void };
  /** Tells every replica that tokens and logins of these grants are dead (createKeyRing().revoked). */
  onRevoked: (grantIds: readonly string[]) => Promise<void>;
}

/** What a call of a revoked grant ends with. */
const CAUSE = 'CALL_REJECTED';
/** A node that was unavailable for longer than this had no phones left. */
const REMEMBERED_MS = 3_600_000;
const AT_ONCE = 200;
/** A node that asked just before may be about to let a call in on the answer: it is told again for so long. */
const TOLD_AGAIN_MS = 3000;
const KEPT_MS = 30 * 24 * 3_600_000;

/** Registrations, and nothing that talks. */
function endRegistrationCommands(grant: { username: string; domain_name: string }): ApiCommand[] {
  return [
    flushRegistrationsOf(PHONE_PROFILE, grant.username, grant.domain_name),
    flushUserCache(grant.username, grant.domain_name),
  ];
}

/**
 * Legs it made carry the name they proved, as `user_name`; legs that ring its phones carry the grant
 * (`GRANT_VARIABLE`). So a node finds them by itself, whoever knows of them.
 */
function endLegCommands(grant: { id: string; username: string }): ApiCommand[] {
  return [hangUpMatching('user_name', grant.username, CAUSE), hangUpMatching(GRANT_VARIABLE, grant.id, CAUSE)];
}

function endAtNodes(deps: Pick<OverDeps, 'links'>, grant: store.NamedGrant): void {
  for (const command of [...endRegistrationCommands(grant), ...endLegCommands(grant)]) deps.links.broadcast(command);
}

/** @throws not_found, also where the caller may not know of it. Revoking twice is the same as once. */
export async function revokeGrant(deps: OverDeps, caller: Caller, id: string, now: Date): Promise<void> {
  const grant = await store.findGrant(deps.db, id, caller.domainId);
  if (!grant) throw new SwitchyardError('not_found', 'No such grant.');
  await deps.log.record(async (trx, emit) => {
    const row = await store.markRevoked(trx, id, now);
    if (!row) return;
    await noteLeaveReason(trx, { grantId: id }, 'grant_revoked');
    await dropRegistrationsOf(trx, emit, { grant_id: id }, 'revoked');
    emit(draftGrantEvent('grant.revoked', row));
  });
  const told = deps.onRevoked([id]); // before the nodes are told, so that none is let in anew meanwhile
  endAtNodes(deps, grant);
  await told;
}

/** Once a second. */
export const GRANT_SWEEP_MS = 1000;

/**
 * Ends the registrations of grants that have expired, and tells the nodes again of what was just revoked. Who talks or is
 * in a room stays until they leave, and may come back for a while (lasting/come-back.store.ts). Several replicas may do
 * it at once: one of them tells the nodes.
 */
export async function sweepGrants(deps: OverDeps, now: Date): Promise<void> {
  for (const grant of await store.findRevokedSince(deps.db, new Date(now.getTime() - TOLD_AGAIN_MS), AT_ONCE)) {
    endAtNodes(deps, grant);
  }
  for (const grant of await store.findExpiredGrants(deps.db, now, AT_ONCE)) {
    await deps.log.record(async (trx, emit) => {
      if (!(await store.markClosed(trx, grant.id, now))) return;
      await dropRegistrationsOf(trx, emit, { grant_id: grant.id }, 'grant_expired');
      // Before it is written down as done: whoever dies in between leaves it to the next look.
      for (const command of endRegistrationCommands(grant)) deps.links.broadcast(command);
    });
  }
  await store.deleteOldGrants(deps.db, new Date(now.getTime() - KEPT_MS));
}

/** After a reconnect: what was revoked or has expired while the node was unavailable ends there now. */
export async function reconcileGrants(
  deps: Pick<OverDeps, 'db'>,
  connection: NodeConnection,
  timeoutMs: number,
  now: Date,
): Promise<void> {
  const reply = await connection.api(showRegistrations(), { timeoutMs });
  const listed = (reply.ok ? parseRegistrations(reply.text, connection.readDeadline) : []).filter((row) =>
    isGrantName(row.username),
  );
  const living = await store.findLivingNames(
    deps.db,
    listed.map((row) => row.username),
    now,
  );
  for (const { username, domain } of listed) {
    if (!living.has(`${username}@${domain.toLowerCase()}`)) {
      await connection.api(flushRegistrationsOf(PHONE_PROFILE, username, domain), { timeoutMs });
    }
  }
  const since = new Date(now.getTime() - REMEMBERED_MS);
  for (const grant of await store.findRevokedSince(deps.db, since, AT_ONCE)) {
    for (const command of endLegCommands(grant)) await connection.api(command, { timeoutMs });
  }
}
