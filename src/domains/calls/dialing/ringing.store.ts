/** The SQL of the limit of ringing calls of one domain; migration 017 has its index. */
import type { Queryable, Trx } from '../../../infra/stores/db';

const RINGING = ['placing', 'ringing'];

/** How many calls of the domain ring or are being placed, counted up to `most`. */
export async function countRinging(db: Queryable, domainId: string, most: number): Promise<number> {
  const some = db('calls').where({ domain_id: domainId }).whereIn('state', RINGING).limit(most).select(db.raw('1'));
  const rows = (await db.count('* as count').from(some.as('ringing'))) as { count: string | number }[];
  return Number(rows[0]?.count ?? 0);
}

/**
 * Counts with the caller's own call in it, which is placed in this transaction. Behind the lock of the domain's quotas
 * (lockQuotas), so that two do not both take the last place.
 * @returns whether no more than `allowed` ring
 */
export async function fitsRinging(trx: Trx, domainId: string, allowed: number): Promise<boolean> {
  return (await countRinging(trx, domainId, allowed + 1)) <= allowed;
}
