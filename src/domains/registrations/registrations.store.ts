/** The SQL of registrations: which phone of which user can be reached through which node. */
import type { Queryable, Trx } from '../../infra/db';
import { storeClock } from '../../infra/store-clock';

export interface RegistrationRecord {
  id: string;
  node_id: string;
  domain_id: string;
  user_id: string;
  sip_call_id: string;
  contact: string;
  profile: string;
  user_agent: string;
  network_ip: string;
  network_port: number | null;
  transport: string;
  registered_at: Date;
  refreshed_at: Date;
  expires_at: Date;
  /** The grant it was registered with. */
  grant_id: string | null;
}

/** @returns whether the registration is new, and not only refreshed. */
export async function upsertRegistration(db: Queryable, row: RegistrationRecord): Promise<boolean> {
  const rows = (await db('registrations')
    .insert(row)
    .onConflict(['node_id', 'user_id', 'sip_call_id'])
    .merge([
      'contact',
      'profile',
      'user_agent',
      'network_ip',
      'network_port',
      'transport',
      'refreshed_at',
      'expires_at',
    ])
    .returning('id')) as { id: string }[];
  return rows[0]?.id === row.id;
}

/** Until the transaction ends nobody else counts this user's phones. */
export async function lockRegistrationsOf(trx: Trx, userId: string): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 14))', [userId]);
}

/** Of a user's phones those beyond the `most` that were seen last. */
export async function listSurplus(db: Queryable, userId: string, most: number): Promise<string[]> {
  return (await db('registrations')
    .where({ user_id: userId })
    .orderBy([
      { column: 'refreshed_at', order: 'desc' },
      { column: 'id', order: 'desc' },
    ])
    .offset(most)
    .pluck('id')) as string[];
}

export async function deleteRegistrations(
  db: Queryable,
  where: { node_id?: string; user_id?: string; grant_id?: string | null; sip_call_id?: string; ids?: string[] },
): Promise<RegistrationRecord[]> {
  const { ids, ...exact } = where;
  const query = db('registrations').where(exact);
  if (ids) void query.whereIn('id', ids);
  return (await query.delete().returning('*')) as RegistrationRecord[];
}

/** Those of the same phone that it has left behind: started anew, it has the same contact and another Call-ID. */
export async function deleteSameContact(
  db: Queryable,
  row: Pick<RegistrationRecord, 'id' | 'node_id' | 'user_id' | 'contact'>,
): Promise<RegistrationRecord[]> {
  const { id, node_id, user_id, contact } = row;
  return (await db('registrations')
    .where({ node_id, user_id, contact })
    .whereNot({ id })
    .delete()
    .returning('*')) as RegistrationRecord[];
}

export async function deleteExpiredRegistrations(db: Queryable, before: Date): Promise<RegistrationRecord[]> {
  return (await db('registrations').where('expires_at', '<', before).delete().returning('*')) as RegistrationRecord[];
}

export async function findRegistrationsOfNode(db: Queryable, nodeId: string): Promise<RegistrationRecord[]> {
  return (await db('registrations').where({ node_id: nodeId })) as RegistrationRecord[];
}

export interface NamedRegistration extends RegistrationRecord {
  node_name: string;
  node_host: string;
  internode_port: number;
}

/** Registrations at nodes that are up, the newest first. */
export async function findRegistrationsOfUsers(
  db: Queryable,
  userIds: readonly string[],
): Promise<NamedRegistration[]> {
  return (await db('registrations as r')
    .join('nodes as n', 'n.id', 'r.node_id')
    .whereIn('r.user_id', userIds)
    .whereNotIn('n.state', ['down', 'pending'])
    .where('r.expires_at', '>', storeClock.now())
    .orderBy('r.refreshed_at', 'desc')
    .select('r.*', 'n.name as node_name', 'n.host as node_host', 'n.internode_port')) as NamedRegistration[];
}

/** Where users were last registered, also at nodes that are down now. */
export async function listNodeIdsOfUsers(db: Queryable, userIds: readonly string[]): Promise<string[]> {
  return (await db('registrations').whereIn('user_id', userIds).distinct().pluck('node_id')) as string[];
}

/** The user whom a SIP name belongs to: their own, or that of a grant made for them, over or not. */
export interface NamedHolder {
  id: string;
  domain_id: string;
  username: string;
  enabled: boolean;
  grant_id: string | null;
  grant_expires_at: Date | null;
  grant_revoked_at: Date | null;
}

export async function findHolder(
  db: Queryable,
  sipName: string,
  domainName: string,
  isGrant: boolean,
): Promise<NamedHolder | undefined> {
  const named = db('users as u')
    .join('domains as d', 'd.id', 'u.domain_id')
    .where('d.name', domainName.toLowerCase())
    .select('u.id', 'u.domain_id', 'u.username', 'u.enabled');
  if (isGrant) {
    void named
      .join('grants as g', 'g.user_id', 'u.id')
      .where({ 'g.username': sipName, 'g.kind': 'user' })
      .select('g.id as grant_id', 'g.expires_at as grant_expires_at', 'g.revoked_at as grant_revoked_at');
  } else {
    const none = db.raw('null as grant_id, null as grant_expires_at, null as grant_revoked_at');
    void named.where('u.username', sipName).select(none);
  }
  return (await named.first()) as NamedHolder | undefined;
}

export const findUserIds = (db: Queryable, username: string, domainName: string): Promise<NamedHolder | undefined> =>
  findHolder(db, username, domainName, false);
