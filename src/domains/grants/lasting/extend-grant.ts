/** Gives a grant another end: a meeting goes on for longer than was thought, or should end sooner. */
import { SwitchyardError } from '../../../errors';
import type { Caller } from '../../../infra/route';
import { draftGrantEvent, type GrantDeps } from '../grants';
import { changeExpiry, findGrant, lockGrant, type NamedGrant } from '../grants.store';
import { MOST_SECONDS, type GrantPatch } from '../grants.schemas';

/** @throws invalid_request where the end is past, or too far off */
function readEnd(patch: GrantPatch, nowMs: number): Date {
  const endMs = patch.expiresAt ? Date.parse(patch.expiresAt) : nowMs + patch.expiresInSeconds! * 1000;
  const path = patch.expiresAt ? 'expiresAt' : 'expiresInSeconds';
  const refuse = (message: string): never => {
    throw new SwitchyardError('invalid_request', `Invalid expiry: "${path}" ${message}.`, {
      errors: [{ path, message }],
    });
  };
  if (endMs <= nowMs) refuse('must be in the future; revoke the grant to end it now');
  if (endMs > nowMs + MOST_SECONDS * 1000) refuse('must be within a day from now; extend it again later');
  return new Date(endMs);
}

export interface ExtendDeps {
  /** What is remembered of it is asked for again. */
  onExtended: (grant: NamedGrant) => void;
}

/**
 * Also one that has expired, which then counts among the living again; never one that was revoked.
 * @throws not_found, gone, invalid_request, quota_exceeded
 */
export async function extendGrant(
  deps: Pick<GrantDeps, 'db' | 'log' | 'quotas'> & ExtendDeps,
  caller: Caller,
  id: string,
  patch: GrantPatch,
  now: Date,
): Promise<NamedGrant> {
  if (!(await findGrant(deps.db, id, caller.domainId))) {
    throw new SwitchyardError('not_found', 'No such grant.');
  }
  const expiresAt = readEnd(patch, now.getTime());
  await deps.log.record(async (trx, emit) => {
    const grant = await lockGrant(trx, id);
    if (!grant) throw new SwitchyardError('not_found', 'No such grant.');
    if (grant.revoked_at) {
      throw new SwitchyardError('gone', 'The grant was revoked for good: create a new one.');
    }
    const isOver = grant.closed_at !== null || grant.expires_at <= now;
    if (isOver) await deps.quotas.take(trx, grant.domain_id, { liveGrants: 1 });
    const changed = await changeExpiry(trx, id, expiresAt);
    emit(draftGrantEvent('grant.updated', changed, { expiredBefore: isOver }));
  });
  const extended = await findGrant(deps.db, id, null);
  if (!extended) throw new SwitchyardError('not_found', 'No such grant.'); // its room has just been deleted
  deps.onExtended(extended);
  return extended;
}
