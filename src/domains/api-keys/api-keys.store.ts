/** The SQL of API keys. */
import type { Queryable, Trx } from '../../infra/stores/db';
import type { Scope } from '../../infra/route';

/** A key's own; `grant` is no key's. */
export type KeyScope = Exclude<Scope, 'grant'>;

export interface ApiKeyRow {
  id: string;
  name: string;
  key_hash: string;
  hint: string;
  scopes: KeyScope[];
  domain_id: string | null;
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
  /** Of BOOTSTRAP_API_KEY, and not over REST. */
  made_at_start: boolean;
}

export interface NamedApiKey extends ApiKeyRow {
  domain_name: string | null;
}

export type NewApiKey = Pick<ApiKeyRow, 'id' | 'name' | 'key_hash' | 'hint' | 'scopes' | 'domain_id' | 'expires_at'> & {
  made_at_start?: boolean;
};

/** The name of a key that is made of BOOTSTRAP_API_KEY; anybody may call another one so. */
export const BOOTSTRAP_NAME = 'bootstrap';

export async function insertApiKey(db: Queryable, row: NewApiKey): Promise<ApiKeyRow> {
  const rows = (await db('api_keys').insert(row).returning('*')) as ApiKeyRow[];
  return rows[0]!;
}

/** Leaves a key that is there as it is, also where it was revoked. @returns the row that has the key */
export async function insertApiKeyOnce(db: Queryable, row: NewApiKey): Promise<ApiKeyRow> {
  await db('api_keys').insert(row).onConflict('key_hash').ignore();
  return (await findApiKeyByHash(db, row.key_hash))!;
}

/** Other admin keys that are valid and were made of BOOTSTRAP_API_KEY, or have the name of one. */
export async function listBootstrapKeys(db: Queryable, exceptId: string, now: Date): Promise<ApiKeyRow[]> {
  return (await db('api_keys')
    .whereNot({ id: exceptId })
    .whereNull('revoked_at')
    .whereNull('domain_id')
    .whereRaw("'admin' = any(scopes)")
    .where((w) => w.whereNull('expires_at').orWhere('expires_at', '>', now))
    .where((w) => w.where('made_at_start', true).orWhere('name', BOOTSTRAP_NAME))
    .orderBy('id')) as ApiKeyRow[];
}

export async function markMadeAtStart(db: Queryable, id: string): Promise<void> {
  await db('api_keys').where({ id }).update({ made_at_start: true });
}

/** Held until the transaction ends: what is decided by which admin keys there are stays true so long. */
export async function lockAdminKeys(trx: Trx): Promise<void> {
  await trx.raw("select pg_advisory_xact_lock(hashtext('switchyard.admin-keys'))");
}

export async function findApiKeyByHash(db: Queryable, hash: string): Promise<ApiKeyRow | undefined> {
  return (await db('api_keys').where({ key_hash: hash }).first()) as ApiKeyRow | undefined;
}

export async function findApiKey(db: Queryable, id: string): Promise<NamedApiKey | undefined> {
  return (await withDomain(db).where('k.id', id).first()) as NamedApiKey | undefined;
}

export async function listApiKeys(
  db: Queryable,
  o: { domainId?: string; revoked: boolean; after?: string; limit: number },
): Promise<NamedApiKey[]> {
  const query = withDomain(db)
    .orderBy('k.id')
    .limit(o.limit + 1);
  if (o.domainId) void query.where('k.domain_id', o.domainId);
  if (!o.revoked) void query.whereNull('k.revoked_at');
  if (o.after) void query.where('k.id', '>', o.after);
  return (await query) as NamedApiKey[];
}

export async function updateApiKey(
  db: Queryable,
  id: string,
  changes: Partial<Pick<ApiKeyRow, 'name' | 'expires_at' | 'revoked_at'>>,
): Promise<boolean> {
  return (await db('api_keys').where({ id }).whereNull('revoked_at').update(changes)) > 0;
}

/** One at a time, so that two can't each remove the other's last admin key. @returns other admin keys that work */
export async function countOtherAdminKeys(trx: Trx, id: string): Promise<number> {
  await lockAdminKeys(trx);
  const result = await trx.raw<{ rows: { count: string }[] }>(
    `select count(*) from api_keys
     where id <> ? and 'admin' = any(scopes) and revoked_at is null and (expires_at is null or expires_at > now())`,
    [id],
  );
  return Number(result.rows[0]?.count ?? 0);
}

/** Once a minute at most. */
export async function touchApiKey(db: Queryable, id: string): Promise<void> {
  await db.raw(
    `update api_keys set last_used_at = now()
     where id = ? and (last_used_at is null or last_used_at < now() - interval '1 minute')`,
    [id],
  );
}

function withDomain(db: Queryable) {
  return db('api_keys as k').leftJoin('domains as d', 'd.id', 'k.domain_id').select('k.*', 'd.name as domain_name');
}
