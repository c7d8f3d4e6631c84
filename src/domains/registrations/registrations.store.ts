/** The SQL of registrations: which phone of which user can be reached through which node. */
import type { Queryable } from '../../infra/db';

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

export async function deleteRegistrations(
  db: Queryable,
  where: { node_id: string; user_id?: string; sip_call_id?: string; ids?: string[] },
): Promise<RegistrationRecord[]> {
  const { ids, ...exact } = where;
  const query = db('registrations').where(exact);
  if (ids) void query.whereIn('id', ids);
  return (await query.delete().returning('*')) as RegistrationRecord[];
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
    .whereNot('n.state', 'down')
    .where('r.expires_at', '>', new Date())
    .orderBy('r.refreshed_at', 'desc')
    .select('r.*', 'n.name as node_name', 'n.host as node_host', 'n.internode_port')) as NamedRegistration[];
}

export async function findUserIds(
  db: Queryable,
  username: string,
  domainName: string,
): Promise<{ id: string; domain_id: string } | undefined> {
  return (await db('users as u')
    .join('domains as d', 'd.id', 'u.domain_id')
    .where({ 'u.username': username, 'd.name': domainName.toLowerCase() })
    .first('u.id', 'u.domain_id')) as { id: string; domain_id: string } | undefined;
}
