/** The SQL of what is sealed: which secrets the database knows, and the columns that hold sealed texts. */
import type { Db, Queryable, Trx } from '../../infra/stores/db';
import type { SealPurpose } from '../../infra/secrets';

export interface KnownSecret {
  /** secretNames() makes it; it says nothing of the secret. */
  name: string;
  /** What is written is sealed with it. */
  is_current: boolean;
  since: Date;
  /** When a replica that writes with it was there last. */
  used_at: Date;
}

export interface SealedColumn {
  table: 'users' | 'grants' | 'nodes' | 'rooms' | 'relays';
  column: string;
  purpose: SealPurpose;
}

/** All that is sealed and stays. Kept answers are not among it: they end by themselves after a day. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  { table: 'nodes', column: 'esl_password_sealed', purpose: 'node-password' },
  { table: 'rooms', column: 'pin_sealed', purpose: 'room-pin' },
  { table: 'rooms', column: 'moderator_pin_sealed', purpose: 'moderator-pin' },
  { table: 'relays', column: 'stream_key_sealed', purpose: 'stream-key' },
  { table: 'grants', column: 'ha1', purpose: 'digest' },
  { table: 'users', column: 'ha1', purpose: 'digest' },
];

export async function listKnownSecrets(db: Queryable): Promise<KnownSecret[]> {
  return (await db('known_secrets').orderBy('since')) as KnownSecret[];
}

/** One start after the other: two replicas with different secrets must not both find an empty table. */
export async function withSecretsLocked<T>(db: Db, act: (trx: Trx) => Promise<T>): Promise<T> {
  return db.transaction(async (trx) => {
    await trx.raw("select pg_advisory_xact_lock(hashtext('switchyard.known-secrets'))");
    return act(trx);
  });
}

/** @param names the first is what is written with from now on */
export async function saveKnownSecrets(trx: Trx, names: readonly [string, ...string[]]): Promise<void> {
  await trx('known_secrets').where({ is_current: true }).whereNot({ name: names[0] }).update({ is_current: false });
  for (const name of names) {
    const insert = trx('known_secrets')
      .insert({ name, is_current: name === names[0] })
      .onConflict('name');
    await (name === names[0] ? insert.merge({ is_current: true, used_at: trx.fn.now() }) : insert.ignore());
  }
}

/** Says that a replica writes with it. */
export async function noteSecretUse(db: Queryable, name: string): Promise<void> {
  await db('known_secrets').insert({ name, is_current: false }).onConflict('name').merge({ used_at: db.fn.now() });
}

/** Forgets a former secret, unless a replica has written with it in the meantime. @returns whether it did */
export async function forgetSecret(db: Queryable, name: string, usedAt: Date): Promise<boolean> {
  const justAfter = new Date(usedAt.getTime() + 1); // the database counts microseconds
  const query = db('known_secrets').where({ name, is_current: false }).where('used_at', '<', justAfter);
  return (await query.delete()) > 0;
}

/** What `used_at` is told by: replicas' own clocks may differ. */
export async function readDatabaseClock(db: Queryable): Promise<Date> {
  const { rows } = await db.raw<{ rows: [{ at: Date }] }>('select clock_timestamp() as at');
  return rows[0].at;
}

/** Answers to repeated requests that only this secret, or a version before that named none, can read. */
export async function countKeptAnswers(db: Queryable, name: string): Promise<{ count: number; last: Date | null }> {
  const { rows } = await db.raw<{ rows: [{ count: string; last: Date | null }] }>(
    "select count(*), max(created_at) as last from idempotency_keys where request_hash like ? or request_hash not like '%.%'",
    [`${name}.%`],
  );
  return { count: Number(rows[0].count), last: rows[0].last };
}

export interface SealedRow {
  id: string;
  sealed: string;
  /** What it is bound to. */
  of: string;
}

const OF_NAME = "t.username || '@' || (select d.name from domains d where d.id = t.domain_id)";
const boundTo = ({ purpose }: SealedColumn): string => (purpose === 'digest' ? OF_NAME : 't.id::text');

/** Some that version 0.2 has sealed: they say whether the secret is the right one, where the database doesn't yet. */
export async function listFirstForm(db: Queryable, column: SealedColumn, limit: number): Promise<SealedRow[]> {
  const { rows } = await db.raw<{ rows: SealedRow[] }>(
    `select t.id, t.${column.column} as sealed, ${boundTo(column)} as of from ${column.table} t
     where t.${column.column} like 'v1.%' order by t.id desc limit ?`,
    [limit],
  );
  return rows;
}

/**
 * Of the next `size` rows those that do not begin so. The table is walked by its key, so each statement is short however
 * large it is and however few are found.
 * @returns `next` to go on after; undefined at the end
 */
export async function readUnsealed(
  db: Queryable,
  column: SealedColumn,
  o: { after?: string; size: number; prefix: string },
): Promise<{ rows: SealedRow[]; next: string | undefined }> {
  const after = o.after ?? '00000000-0000-0000-0000-000000000000';
  const ends = await db.raw<{ rows: { id: string }[] }>(
    `select id from ${column.table} where id > ? order by id offset ? limit 1`,
    [after, o.size - 1],
  );
  const next = ends.rows[0]?.id;
  const { rows } = await db.raw<{ rows: SealedRow[] }>(
    `select t.id, t.${column.column} as sealed, ${boundTo(column)} as of from ${column.table} t
     where t.id > ? and t.id <= ? and t.${column.column} not like ?`,
    [after, next ?? 'ffffffff-ffff-ffff-ffff-ffffffffffff', `${o.prefix}%`],
  );
  return { rows, next };
}

/** Writes what was sealed again, where nobody has changed it in the meantime. @returns how many */
export async function writeSealed(
  db: Queryable,
  column: SealedColumn,
  rows: readonly { id: string; was: string; sealed: string }[],
): Promise<number> {
  if (rows.length === 0) return 0;
  const result = await db.raw<{ rowCount: number }>(
    `update ${column.table} t set ${column.column} = r.sealed
     from jsonb_to_recordset(?::jsonb) as r(id uuid, was text, sealed text)
     where t.id = r.id and t.${column.column} = r.was`,
    [JSON.stringify(rows)],
  );
  return result.rowCount;
}
