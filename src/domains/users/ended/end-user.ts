/** Puts out whoever is disabled or deleted: out of rooms and calls, and their phones are let go, at every node within a second. */
import {
  flushRegistrationsOf,
  flushUserCache,
  hangUpMatching,
  parseRegistrations,
  PHONE_PROFILE,
  showRegistrations,
  type ApiCommand,
  type NodeConnection,
} from '../../../freeswitch/esl';
import { USER_VARIABLE } from '../../../freeswitch/xml';
import type { Db, Trx } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import { runEvery, type Interval } from '../../../infra/flow/interval';
import { storeClock } from '../../../infra/store-clock';
import type { EventDraft } from '../../events/events.store';
import { isGrantName } from '../../grants/grant-name';
import { dropRegistrationsOf } from '../../registrations/registrations';
import { noteLeaveReason } from '../../rooms/participants/leave-reasons.store';
import * as store from './ended-users.store';

export interface UserEndings {
  /** Tells every replica that tokens and logins of these grants are dead (createKeyRing().revoked). */
  onGrantsEnded: (grantIds: readonly string[]) => Promise<void>;
  /** Tells every node that is up; one that is not is told when it is back. */
  broadcast: (command: ApiCommand) => void;
}

interface Named {
  id: string;
  domain_name: string;
  username: string;
}

/** What a call of theirs ends with, as a revoked grant's. */
const CAUSE = 'CALL_REJECTED';
/** A node that asked just before may be about to let somebody in on the answer: it is told again for so long. */
const TOLD_AGAIN_MS = 3000;
const SWEEP_MS = 1000;
/** A node that was unavailable for longer than this had no phones left. */
const REMEMBERED_MS = 3_600_000;
const AT_ONCE = 200;

/**
 * Inside the transaction that disables or deletes them, before the row is gone.
 * @returns what ends it at nodes and replicas, once that is written
 */
export async function endUser(
  trx: Trx,
  emit: (draft: EventDraft) => void,
  user: Named,
  reason: store.UserEnd,
): Promise<(endings: UserEndings) => Promise<void>> {
  const grants = await store.listGrantsOfUser(trx, user.id);
  const ended = {
    user_id: user.id,
    domain_name: user.domain_name,
    username: user.username,
    sip_names: grants.map((grant) => grant.username),
    reason,
    ended_at: storeClock.now(),
  };
  await store.saveEndedUser(trx, ended);
  await noteLeaveReason(trx, { userId: user.id }, reason);
  await dropRegistrationsOf(trx, emit, { user_id: user.id }, reason);
  return async ({ onGrantsEnded, broadcast }) => {
    const told = onGrantsEnded(grants.map((grant) => grant.id)); // first, so that none is let in anew meanwhile
    for (const command of endCommands(ended)) broadcast(command);
    await told;
  };
}

/** A new password: phones that registered with the old one are let go. Who talks goes on: they proved the one that was right. */
export async function endRegistrations(
  trx: Trx,
  emit: (draft: EventDraft) => void,
  user: Named,
): Promise<(endings: Pick<UserEndings, 'broadcast'>) => void> {
  await dropRegistrationsOf(trx, emit, { user_id: user.id, grant_id: null }, 'password_changed');
  return ({ broadcast }) => broadcast(flushRegistrationsOf(PHONE_PROFILE, user.username, user.domain_name));
}

export const forgetEnd = (trx: Trx, userId: string): Promise<void> => store.forgetEndedUser(trx, userId);

/** Legs they made, and legs that ring them, carry their id: a node finds them by itself, whoever knows of them. */
const endLegsCommand = (user: Pick<store.EndedUser, 'user_id'>): ApiCommand =>
  hangUpMatching(USER_VARIABLE, user.user_id, CAUSE);

function endCommands(user: store.EndedUser): ApiCommand[] {
  return [
    ...[user.username, ...user.sip_names].map((name) => flushRegistrationsOf(PHONE_PROFILE, name, user.domain_name)),
    flushUserCache(user.username, user.domain_name),
    endLegsCommand(user),
  ];
}

/** Tells nodes again of who has just ended. Several replicas may do it at once. */
export function sweepEndedUsers(deps: { db: Db; logger: Logger } & Pick<UserEndings, 'broadcast'>): Interval {
  return runEvery('ended users', SWEEP_MS, deps.logger, async () => {
    const nowMs = storeClock.nowMs();
    for (const user of await store.findEndedSince(deps.db, new Date(nowMs - TOLD_AGAIN_MS), AT_ONCE)) {
      for (const command of endCommands(user)) deps.broadcast(command);
    }
    await store.deleteEndedBefore(deps.db, new Date(nowMs - REMEMBERED_MS));
  });
}

/** After a reconnect: phones of users who are none, and legs of those who ended in the meantime, end there now. */
export async function reconcileEndedUsers(
  deps: { db: Db },
  connection: NodeConnection,
  timeoutMs: number,
  now: Date,
): Promise<void> {
  const reply = await connection.api(showRegistrations(), { timeoutMs });
  const listed = (reply.ok ? parseRegistrations(reply.text, connection.readDeadline) : []).filter(
    (row) => !isGrantName(row.username),
  );
  const enabled = await store.findEnabledNames(
    deps.db,
    listed.map((row) => row.username),
  );
  for (const { username, domain } of listed) {
    if (enabled.has(`${username}@${domain.toLowerCase()}`)) continue;
    await connection.api(flushRegistrationsOf(PHONE_PROFILE, username, domain), { timeoutMs });
  }
  for (const user of await store.findEndedSince(deps.db, new Date(now.getTime() - REMEMBERED_MS), AT_ONCE)) {
    await connection.api(endLegsCommand(user), { timeoutMs });
  }
}
