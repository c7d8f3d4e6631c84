/** Says which domain a request names, as often as calls are asked for: from memory for a second, and else by its own connections. */
import type { Pool } from 'pg';
import { createReadThroughCache } from '../../infra/flow/read-through-cache';
import type { Caller } from '../../infra/route';
import type { Db } from '../../infra/stores/db';
import { mayUseDomain, requireDomain } from './domains';
import { DOMAIN_LOOKUP } from './domains.store';

export interface NamedDomain {
  id: string;
  name: string;
}

/** requireDomain() for who asks often: a domain that was removed is found for a second longer. */
export function createDomainLookup(
  pool: Pool,
  db: Db,
  now: () => number,
): (nameOrId: string | undefined, caller: Caller) => Promise<NamedDomain> {
  const { find } = createReadThroughCache<NamedDomain>({
    pool,
    now,
    statement: DOMAIN_LOOKUP,
    readRow: (row) => ({ id: row[1] as string, name: row[2] as string }),
    away: 'The domain can not be looked up: the database is out of reach.',
  });
  return async (nameOrId, caller) => {
    const known = nameOrId === undefined ? undefined : await find('', nameOrId);
    // One that is not there, or not theirs, is asked for once more: it may have been made this moment.
    return known && mayUseDomain(caller, known.id) ? known : requireDomain(db, caller, nameOrId);
  };
}
