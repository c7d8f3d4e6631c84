/** The SQL of users who are none any more: what nodes have still to be told of them. */
import type { Queryable } from '../../../infra/stores/db';

export type UserEnd = 'user_disabled' | 'user_deleted';

export interface EndedUser {
  user_id: string;
  domain_name: string;
  username: string;
  /** SIP names of the grants that ended with them. */
  sip_names: string[];
  reason: UserEnd;
  ended_at: Date;
}

/** A user who is disabled again, or deleted after that, has ended now. */
export async function saveEndedUser(db: Queryable, row: EndedUser): Promise<void> {
  await db('ended_users').insert(row).onConflict('user_id').merge();
}

/** Who is enabled again is not ended by a node that comes back. */
export async function forgetEndedUser(db: Queryable, userId: string): Promise<void> {
  await db('ended_users').where({ user_id: userId }).delete();
}

export async function findEndedSince(db: Queryable, since: Date, limit: number): Promise<EndedUser[]> {
  return (await db('ended_users')
    .where('ended_at', '>', since)
    .orderBy('ended_at', 'desc')
    .limit(limit)) as EndedUser[];
}

export async function deleteEndedBefore(db: Queryable, before: Date): Promise<void> {
  await db('ended_users').where('ended_at', '<', before).delete();
}

/** Grants that a user has now: what their pages are let in with. */
export async function listGrantsOfUser(db: Queryable, userId: string): Promise<{ id: string; username: string }[]> {
  return (await db('grants').where({ user_id: userId }).whereNull('revoked_at').select('id', 'username')) as {
    id: string;
    username: string;
  }[];
}

/** Which of these SIP names, as `name@domain`, belong to users who may register. */
export async function findEnabledNames(db: Queryable, names: readonly string[]): Promise<Set<string>> {
  const rows = (await db('users as u')
    .join('domains as d', 'd.id', 'u.domain_id')
    .whereIn('u.username', [...names])
    .where('u.enabled', true)
    .select('u.username', 'd.name')) as { username: string; name: string }[];
  return new Set(rows.map((row) => `${row.username}@${row.name}`));
}
