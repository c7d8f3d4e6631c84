/** The SQL of domains. */
import { isId } from '../../infra/ids';
import type { Db, Queryable } from '../../infra/stores/db';

export interface DomainRow {
  id: string;
  name: string;
  display_name: string;
  /** ISO 3166; null: digits without a + are no national numbers. */
  country: string | null;
  created_at: Date;
  updated_at: Date;
}

export async function insertDomain(
  db: Queryable,
  row: Pick<DomainRow, 'id' | 'name' | 'display_name' | 'country'>,
): Promise<DomainRow> {
  const rows = (await db('domains').insert(row).returning('*')) as DomainRow[];
  return rows[0]!;
}

/** By name or id. A name that looks like an id is read as an id. */
export async function findDomain(db: Queryable, nameOrId: string): Promise<DomainRow | undefined> {
  const where = isId(nameOrId) ? { id: nameOrId.toLowerCase() } : { name: nameOrId.toLowerCase() };
  return (await db('domains').where(where).first()) as DomainRow | undefined;
}

/** The same for many at once; see createReadThroughCache. A reference that looks like an id is none that could be a name. */
export const DOMAIN_LOOKUP = {
  name: 'domain-by-reference',
  text: `select asked.n::int, d.id, d.name from unnest($1::text[], $2::text[]) with ordinality as asked(reference, unused, n),
         lateral (select id, name from domains where name = asked.reference
                  union all
                  select id, name from domains
                  where id = case when asked.reference ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                  then asked.reference::uuid end) d`,
};

export async function listDomains(db: Db, o: { after?: string; limit: number; onlyId?: string }): Promise<DomainRow[]> {
  const query = db('domains')
    .orderBy('id')
    .limit(o.limit + 1);
  if (o.after) void query.where('id', '>', o.after);
  if (o.onlyId) void query.where({ id: o.onlyId });
  return (await query) as DomainRow[];
}

export type DomainChanges = Partial<Pick<DomainRow, 'display_name' | 'country'>>;

export async function updateDomain(db: Queryable, id: string, changes: DomainChanges): Promise<DomainRow | undefined> {
  const rows = (await db('domains')
    .where({ id })
    .update({ ...changes, updated_at: db.fn.now() })
    .returning('*')) as DomainRow[];
  return rows[0];
}

/** Its users, keys, registrations and calls go with it. */
export async function deleteDomain(db: Queryable, id: string): Promise<void> {
  await db('domains').where({ id }).delete();
}

/** Locks the domain until the transaction ends. @returns whether a call of it is still going on */
export async function lockDomain(db: Queryable, id: string): Promise<{ found: boolean; liveCalls: boolean }> {
  const found = (await db('domains').where({ id }).forUpdate().first('id')) as unknown;
  const live = (await db('calls').where({ domain_id: id }).whereNot({ state: 'ended' }).first('id')) as unknown;
  return { found: found !== undefined, liveCalls: live !== undefined };
}

export async function listUsernames(db: Queryable, domainId: string): Promise<string[]> {
  return (await db('users').where({ domain_id: domainId }).pluck('username')) as string[];
}

/** Keys that die with the domain. */
export async function listKeyIds(db: Queryable, domainId: string): Promise<string[]> {
  return (await db('api_keys').where({ domain_id: domainId }).pluck('id')) as string[];
}

/** The SIP names by which phones of the domain are registered now: users' own, and those of grants. */
export async function listRegisteredNames(db: Queryable, domainId: string): Promise<string[]> {
  const rows = (await db('registrations as r')
    .join('users as u', 'u.id', 'r.user_id')
    .leftJoin('grants as g', 'g.id', 'r.grant_id')
    .where('r.domain_id', domainId)
    .distinct(db.raw('coalesce(g.username, u.username) as name'))) as { name: string }[];
  return rows.map((row) => row.name);
}

/** Grants whose pages may have a stream open. */
export async function listLivingGrantIds(db: Queryable, domainId: string, now: Date): Promise<string[]> {
  return (await db('grants')
    .where({ domain_id: domainId })
    .whereNull('revoked_at')
    .where('expires_at', '>', now)
    .pluck('id')) as string[];
}
