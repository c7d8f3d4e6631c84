/** Knows who shows a grant: a page by its token, a phone by the SIP name that a node has checked. */
import { LRUCache } from 'lru-cache';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { Caller } from '../../infra/route';
import { hashSecret } from '../../infra/secrets';
import { storeClock } from '../../infra/store-clock';
import type { EventLog } from '../events/events';
import type { GrantDirectory, GrantView } from './grant-directory';
import { draftGrantEvent } from './grants';
import { isGrantName } from './grant-name';
import { findLivingGrantByToken, markUsed } from './grants.store';

type Authenticate = (bearer: string) => Promise<Caller | undefined>;

/** Tokens of grants beside API keys. A token is asked for again each time: it is shown once for each stream. */
export function authenticateGrants(db: Db, keys: Authenticate, now: () => number): Authenticate {
  return async (bearer) => {
    if (!bearer.startsWith('gt_')) return keys(bearer);
    const grant = await findLivingGrantByToken(db, hashSecret(bearer), new Date(now()));
    if (!grant) return undefined;
    return {
      apiKeyId: grant.id,
      scopes: ['grant'],
      domainId: grant.domain_id,
      grant: {
        id: grant.id,
        roomId: grant.room_id,
        userId: grant.room_id === null ? grant.user_id : null,
        afterNumber: Number(grant.after_number),
      },
    };
  };
}

export interface UseDeps {
  log: EventLog;
  logger: Logger;
}

/** Writes down that a grant was used for the first time. Nobody waits for it, and a call goes on without it. */
function noteCall(deps: UseDeps, grantId: string): void {
  deps.log
    .record(async (trx, emit) => {
      const row = await markUsed(trx, grantId, storeClock.now());
      if (row) emit(draftGrantEvent('grant.used', row, { by: 'call' }));
    })
    .catch((error: unknown) => deps.logger.warn({ err: error, grantId }, 'the first use of a grant was not noted'));
}

export type FindGrantOfUser = (sipName: string, domain: string) => Promise<GrantView | undefined>;

/** Of grants in use; one that is forgotten here is noted once more. */
const MOST_NOTED = 10_000;

/** For the dialplan, which asks about names that a node has checked; so a grant that is found is in use. */
export function createGrantFinder(deps: UseDeps & { grants: GrantDirectory }): FindGrantOfUser {
  const noted = new LRUCache<string, true>({ max: MOST_NOTED });
  return async (sipName, domain) => {
    if (!isGrantName(sipName)) return undefined;
    const grant = await deps.grants.findGrant(sipName, domain);
    if (grant && !noted.has(grant.id)) {
      noted.set(grant.id, true);
      noteCall(deps, grant.id);
    }
    return grant;
  };
}
