/** The SQL of grants. */
import type { Queryable } from '../../infra/stores/db';
import { GOOD_UNTIL } from './lasting/come-back.store';

export type GrantKind = 'room' | 'user';
export type GrantRole = 'moderator' | 'participant';

export interface GrantRow {
  id: string;
  kind: GrantKind;
  domain_id: string;
  room_id: string | null;
  user_id: string | null;
  /** The SIP name; createGrantName() makes it. */
  username: string;
  /** Sealed; sealDigest() makes it. */
  ha1: string;
  token_hash: string;
  identity: string;
  name: string;
  role: GrantRole;
  max_video_kbps: number | null;
  metadata: Record<string, unknown>;
  /** Where it was told to go last. */
  node_id: string | null;
  /** A bigint, as text: the domain's log before it was made. */
  after_number: string;
  created_at: Date;
  expires_at: Date;
  used_at: Date | null;
  revoked_at: Date | null;
  /** The nodes were told to end what it still had. */
  closed_at: Date | null;
}

/** With the names of its domain and of its node. */
export interface NamedGrant extends GrantRow {
  domain_name: string;
  node_name: string | null;
}

export type NewGrant = Omit<GrantRow, 'created_at' | 'used_at' | 'revoked_at' | 'closed_at'>;

const selectGrants = (db: Queryable) =>
  db('grants as g')
    .join('domains as d', 'd.id', 'g.domain_id')
    .leftJoin('nodes as n', 'n.id', 'g.node_id')
    .select('g.*', 'd.name as domain_name', 'n.name as node_name');

export async function insertGrant(db: Queryable, row: NewGrant): Promise<void> {
  await db('grants').insert({ ...row, metadata: JSON.stringify(row.metadata) });
}

/** @param domainId where only grants of one domain may be seen */
export async function findGrant(db: Queryable, id: string, domainId: string | null): Promise<NamedGrant | undefined> {
  const query = selectGrants(db).where('g.id', id);
  if (domainId !== null) void query.where('g.domain_id', domainId);
  return (await query.first()) as NamedGrant | undefined;
}

/** Holds the grant until the transaction ends. */
export async function lockGrant(trx: Queryable, id: string): Promise<GrantRow | undefined> {
  return (await trx('grants').where({ id }).forUpdate().first()) as GrantRow | undefined;
}

/** With another end it is not over, and nodes are told at that end. */
export async function changeExpiry(trx: Queryable, id: string, expiresAt: Date): Promise<GrantRow> {
  const change = { expires_at: expiresAt, closed_at: null };
  const rows = (await trx('grants').where({ id }).update(change).returning('*')) as GrantRow[];
  return rows[0]!;
}

/** The grant of a token, where it is neither over nor a disabled user's; with the end that it has for its holder now. */
export async function findLivingGrantByToken(
  db: Queryable,
  tokenHash: string,
  now: Date,
): Promise<GrantRow | undefined> {
  return (await db('grants as g')
    .leftJoin('users as u', 'u.id', 'g.user_id')
    .where('g.token_hash', tokenHash)
    .whereNull('g.revoked_at')
    .whereRaw(`${GOOD_UNTIL} > ?`, [now])
    .where((w) => w.whereNull('u.id').orWhere('u.enabled', true))
    .first('g.*')) as GrantRow | undefined;
}

export async function listGrants(
  db: Queryable,
  filter: { room_id: string } | { user_id: string; kind: 'user' },
  page: { after?: string; limit: number },
): Promise<NamedGrant[]> {
  const query = selectGrants(db)
    .orderBy('g.id')
    .limit(page.limit + 1);
  for (const [column, value] of Object.entries(filter)) void query.where(`g.${column}`, value);
  if (page.after) void query.where('g.id', '>', page.after);
  return (await query) as NamedGrant[];
}

/** @returns the row, where it was not revoked before. */
export async function markRevoked(db: Queryable, id: string, now: Date): Promise<GrantRow | undefined> {
  const rows = (await db('grants')
    .where({ id })
    .whereNull('revoked_at')
    .update({ revoked_at: now, closed_at: now })
    .returning('*')) as GrantRow[];
  return rows[0];
}

/** @returns the row, where it is its first use. */
export async function markUsed(db: Queryable, id: string, now: Date): Promise<GrantRow | undefined> {
  const rows = (await db('grants')
    .where({ id })
    .whereNull('used_at')
    .update({ used_at: now })
    .returning('*')) as GrantRow[];
  return rows[0];
}

/** @returns those of them whose first use it is. */
export async function markGrantsUsed(db: Queryable, ids: readonly string[], now: Date): Promise<GrantRow[]> {
  if (ids.length === 0) return [];
  return (await db('grants')
    .whereIn('id', [...ids])
    .whereNull('used_at')
    .update({ used_at: now })
    .returning('*')) as GrantRow[];
}

export async function moveGrant(db: Queryable, id: string, nodeId: string): Promise<void> {
  await db('grants').where({ id }).update({ node_id: nodeId });
}

/** Grants whose time is over and of which the nodes were not told yet. */
export async function findExpiredGrants(db: Queryable, now: Date, limit: number): Promise<NamedGrant[]> {
  return (await selectGrants(db)
    .whereNull('g.closed_at')
    .where('g.expires_at', '<=', now)
    .orderBy('g.expires_at')
    .limit(limit)) as NamedGrant[];
}

/** @returns whether it was not closed before, and is over still: one that was extended in the meantime is not. */
export async function markClosed(db: Queryable, id: string, now: Date): Promise<boolean> {
  const over = db('grants').where({ id }).whereNull('closed_at').where('expires_at', '<=', now);
  return (await over.update({ closed_at: now })) > 0;
}

/** Which of these SIP names belong to grants that are good now, as `name@domain`. */
export async function findLivingNames(db: Queryable, names: readonly string[], now: Date): Promise<Set<string>> {
  const rows = (await db('grants as g')
    .join('domains as d', 'd.id', 'g.domain_id')
    .whereIn('g.username', [...names])
    .whereNull('g.revoked_at')
    .where('g.expires_at', '>', now)
    .select('g.username', 'd.name')) as { username: string; name: string }[];
  return new Set(rows.map((row) => `${row.username}@${row.name}`));
}

export async function findRevokedSince(db: Queryable, since: Date, limit: number): Promise<NamedGrant[]> {
  return (await selectGrants(db)
    .where('g.revoked_at', '>', since)
    .orderBy('g.revoked_at', 'desc')
    .limit(limit)) as NamedGrant[];
}

/** @returns how many were removed */
export async function deleteOldGrants(db: Queryable, before: Date): Promise<number> {
  return db('grants').whereNotNull('closed_at').where('expires_at', '<', before).delete();
}
