/** The SQL of registrations: which phone of which user can be reached through which node. */
import type { Queryable } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';

export interface RegistrationRow {
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
  /** See phone-key.ts. */
  phone_key: string;
  /** Since when it is not rung, since nobody was there. */
  unreachable_at: Date | null;
  /** When it last came from another socket with the same Call-ID. */
  moved_at: Date | null;
  /** Listed by a node from before it was started again, and not heard of since. */
  unproven: boolean;
}

export async function deleteRegistrations(
  db: Queryable,
  where: { node_id?: string; user_id?: string; grant_id?: string | null; sip_call_id?: string; ids?: string[] },
): Promise<RegistrationRow[]> {
  const { ids, ...exact } = where;
  const query = db('registrations').where(exact);
  if (ids) void query.whereIn('id', ids);
  return (await query.delete().returning('*')) as RegistrationRow[];
}

export async function deleteExpiredRegistrations(db: Queryable, before: Date): Promise<RegistrationRow[]> {
  return (await db('registrations').where('expires_at', '<', before).delete().returning('*')) as RegistrationRow[];
}

/** By what name a phone is registered: its user's, or that of a grant. */
export async function findSipName(
  db: Queryable,
  id: string,
): Promise<{ username: string; domain: string } | undefined> {
  return (await db('registrations as r')
    .join('users as u', 'u.id', 'r.user_id')
    .join('domains as d', 'd.id', 'r.domain_id')
    .leftJoin('grants as g', 'g.id', 'r.grant_id')
    .where('r.id', id)
    .first(db.raw('coalesce(g.username, u.username) as username'), 'd.name as domain')) as
    { username: string; domain: string } | undefined;
}

export async function findRegistrationsOfNode(db: Queryable, nodeId: string): Promise<RegistrationRow[]> {
  return (await db('registrations').where({ node_id: nodeId })) as RegistrationRow[];
}

export interface NamedRegistration extends RegistrationRow {
  node_name: string;
  node_host: string;
  internode_port: number;
  node_state: string;
  node_refuses_phones: boolean;
}

/** Registrations at nodes that are up, the newest first; those that a call has found dead only where they are asked for. */
export async function findRegistrationsOfUsers(
  db: Queryable,
  userIds: readonly string[],
  which: 'living' | 'dead ones too' = 'living',
): Promise<NamedRegistration[]> {
  const query = db('registrations as r');
  if (which === 'living') void query.whereNull('r.unreachable_at');
  return (await query
    .join('nodes as n', 'n.id', 'r.node_id')
    .whereIn('r.user_id', userIds)
    .whereNotIn('n.state', ['down', 'pending'])
    .where('r.expires_at', '>', storeClock.now())
    .orderBy('r.refreshed_at', 'desc')
    .select(
      'r.*',
      'n.name as node_name',
      'n.host as node_host',
      'n.internode_port',
      'n.state as node_state',
      'n.phones_refused as node_refuses_phones',
    )) as NamedRegistration[];
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

/** The user of that name, whatever grants they have. */
export async function findUserIds(
  db: Queryable,
  username: string,
  domainName: string,
): Promise<Pick<NamedHolder, 'id' | 'domain_id' | 'username' | 'enabled'> | undefined> {
  return (await db('users as u')
    .join('domains as d', 'd.id', 'u.domain_id')
    .where({ 'd.name': domainName.toLowerCase(), 'u.username': username })
    .first('u.id', 'u.domain_id', 'u.username', 'u.enabled')) as
    Pick<NamedHolder, 'id' | 'domain_id' | 'username' | 'enabled'> | undefined;
}

export async function markUnproven(db: Queryable, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await db('registrations').whereIn('id', ids).update({ unproven: true });
}
