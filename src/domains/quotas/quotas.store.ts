/** The SQL of quotas: the limits that were set, and the truth they are held against. */
import type { Queryable, Trx } from '../../infra/stores/db';
import type { CountedQuota, QuotaName } from './catalogue';

/** What is used of each, of the domain `:domain`; by the indexes of migration 013. */
const COUNTS: Record<CountedQuota, string> = {
  queuedCalls: `select count(*) from calls where domain_id = :domain and state = 'queued'`,
  ringingCalls: `select count(*) from calls where domain_id = :domain and state in ('placing','ringing')`,
  // A call holds its claim from when it is placed; a session all its life.
  units: `select coalesce(sum(held.units), 0) from (
      select units from calls where domain_id = :domain and state in ('placing','ringing','answered')
      union all select units from sessions where domain_id = :domain and state <> 'ended') held`,
  openingRooms: `select count(*) from sessions where domain_id = :domain and state = 'opening'`,
  liveGrants: `select count(*) from grants where domain_id = :domain and closed_at is null and expires_at > now()`,
  relays: `select count(*) from relays where domain_id = :domain and state not in ('stopped','failed')`,
  recordings: `select count(*) from recordings where domain_id = :domain and desired <> 'stopped'`,
  recordedBytes: `select coalesce((select recorded_bytes from domain_sums where domain_id = :domain), 0) + coalesce((
      select sum(coalesce(p.bytes, p.seen_bytes)) from recording_parts p join recordings r on r.id = p.recording_id
      where p.state in ('starting','recording','stopping','uploading') and r.domain_id = :domain), 0)`,
  users: `select coalesce((select users from domain_sums where domain_id = :domain), 0)`,
  rooms: `select count(*) from rooms where domain_id = :domain`,
  layouts: `select count(*) from room_layouts where domain_id = :domain`,
};

export const COUNTED_QUOTAS = Object.keys(COUNTS) as CountedQuota[];

/**
 * One at a time for each domain, until the transaction ends: two can't both take the last place. It is taken behind
 * the locks of rows and before the head of the log, everywhere, so that nobody waits for each other.
 */
export async function lockQuotas(trx: Trx, domainId: string): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 13))', [domainId]);
}

export interface UsedQuota {
  quota: CountedQuota;
  /** null: as by default. */
  own: number | null;
  used: number;
}

/** What is used of these now, and what the domain's own limits are. */
export async function readUsed(db: Queryable, domainId: string, quotas: readonly CountedQuota[]): Promise<UsedQuota[]> {
  if (quotas.length === 0) return [];
  const rows = quotas.map(
    (quota) =>
      `select '${quota}' as quota, (${COUNTS[quota]}) as used,
         (select amount from quotas where domain_id = :domain and quota = '${quota}') as own`,
  );
  const result = await db.raw<{ rows: { quota: CountedQuota; used: string; own: string | null }[] }>(
    rows.join(' union all '),
    { domain: domainId },
  );
  return result.rows.map(({ quota, used, own }) => ({
    quota,
    used: Number(used),
    own: own === null ? null : Number(own),
  }));
}

/** The limits that were set for the domain. */
export async function readLimits(db: Queryable, domainId: string): Promise<Partial<Record<QuotaName, number>>> {
  const rows = (await db('quotas').where({ domain_id: domainId }).select('quota', 'amount')) as {
    quota: QuotaName;
    amount: string;
  }[];
  return Object.fromEntries(rows.map((row) => [row.quota, Number(row.amount)]));
}

/** The whole set: what it leaves out is as by default again. */
export async function replaceLimits(
  trx: Trx,
  domainId: string,
  limits: Partial<Record<QuotaName, number>>,
): Promise<void> {
  await lockQuotas(trx, domainId); // else two who change them at once add to each other
  await trx('quotas').where({ domain_id: domainId }).delete();
  const rows = Object.entries(limits).map(([quota, amount]) => ({ domain_id: domainId, quota, amount }));
  if (rows.length > 0) await trx('quotas').insert(rows);
}

/** The most phones that one user of the domain has registered. */
export async function readMostRegistrations(db: Queryable, domainId: string): Promise<number> {
  const result = await db.raw<{ rows: { most: string | null }[] }>(
    `select max(count) as most from (select count(*) as count from registrations where domain_id = ? group by user_id) c`,
    [domainId],
  );
  return Number(result.rows[0]?.most ?? 0);
}
