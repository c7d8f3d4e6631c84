/** The SQL of tokens for nodes: each is used by one conditional update, and kept as a hash. */
import type { Queryable, Trx } from '../../../infra/stores/db';

export interface NodeTokenRow {
  id: string;
  name: string;
  /** null: it was let in by the reusable join token, and waits for the node to say where it is. */
  token_hash: string | null;
  created_at: Date;
  expires_at: Date;
  used_at: Date | null;
  /** Of the node that used it. */
  secret_hash: string | null;
  /** When that node was first there; until then it has no row. */
  entered_at: Date | null;
}

export async function insertToken(db: Queryable, row: NodeTokenRow): Promise<void> {
  await db('node_tokens').insert(row);
}

/** Those that can still be used. */
export async function listOpenTokens(db: Queryable, now: Date): Promise<NodeTokenRow[]> {
  return (await db('node_tokens').whereNull('used_at').where('expires_at', '>', now).orderBy('id')) as NodeTokenRow[];
}

/** @returns false where there is none that is open */
export async function deleteOpenToken(db: Queryable, id: string): Promise<boolean> {
  return (await db('node_tokens').where({ id }).whereNull('used_at').delete()) > 0;
}

/**
 * Takes the token for the node of this name, where it is for that name and open.
 * @param o.enterBefore null: it enters now; else it has so long to come
 */
export async function takeToken(
  trx: Trx,
  o: { name: string; tokenHash: string; secretHash: string; now: Date; enterBefore: Date | null },
): Promise<boolean> {
  const count = await trx('node_tokens')
    .where({ name: o.name, token_hash: o.tokenHash })
    .whereNull('used_at')
    .where('expires_at', '>', o.now)
    .update({
      used_at: o.now,
      secret_hash: o.secretHash,
      ...(o.enterBefore ? { expires_at: o.enterBefore } : { entered_at: o.now }),
    });
  return count > 0;
}

/** A node that was enrolled before it was known where it would be is here for the first time. */
export async function takeEnrolment(
  trx: Trx,
  o: { name: string; secretHash: string; now: Date },
): Promise<NodeTokenRow | undefined> {
  const rows = (await trx('node_tokens')
    .where({ name: o.name, secret_hash: o.secretHash })
    .whereNotNull('used_at')
    .whereNull('entered_at')
    .where('expires_at', '>', o.now)
    .update({ entered_at: o.now })
    .returning('*')) as NodeTokenRow[];
  return rows[0];
}

export async function hasEnrolment(
  db: Queryable,
  o: { name: string; secretHash: string; now: Date },
): Promise<boolean> {
  const row: unknown = await db('node_tokens')
    .where({ name: o.name, secret_hash: o.secretHash })
    .whereNull('entered_at')
    .where('expires_at', '>', o.now)
    .first('id');
  return row !== undefined;
}

/** What nobody can use any more. */
export async function deleteOldTokens(db: Queryable, before: Date): Promise<void> {
  await db('node_tokens').where('expires_at', '<', before).delete();
}
