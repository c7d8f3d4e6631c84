/** The SQL of registrations: which phone of which user can be reached through which node. */
import type { Queryable, Trx } from '../../infra/stores/db';
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
  /** See phone-key.ts. */
  phone_key: string;
  /** Since when it is not rung, since nobody was there. */
  unreachable_at: Date | null;
  /** When it last came from another socket with the same Call-ID. */
  moved_at: Date | null;
  /** Listed by a node from before it was started anew, and not heard of since. */
  unproven: boolean;
}

/** What a refresh does not bring. */
export type NewRegistration = Omit<RegistrationRecord, 'unreachable_at' | 'moved_at'>;

/**
 * Keeps a registration, or refreshes it: then the phone is there, whatever was thought of it.
 * @returns its id, and whether it is there anew: it was not known, or was given up
 */
export async function upsertRegistration(
  db: Queryable,
  row: NewRegistration,
): Promise<{ id: string; isNew: boolean; isMoved: boolean }> {
  const merged = ['contact', 'profile', 'user_agent', 'network_ip', 'network_port', 'transport', 'phone_key'] as const;
  const isMoved = `(registrations.network_ip, registrations.network_port) is distinct from
    (excluded.network_ip, excluded.network_port)`;
  const rows = (await db('registrations')
    .insert(row)
    .onConflict(['node_id', 'user_id', 'sip_call_id'])
    .merge({
      ...Object.fromEntries(merged.map((column) => [column, row[column]])),
      refreshed_at: row.refreshed_at,
      expires_at: row.expires_at,
      unreachable_at: null,
      unproven: row.unproven,
      moved_at: db.raw(`case when ${isMoved} then excluded.refreshed_at else registrations.moved_at end`),
    })
    .returning([
      'id',
      'moved_at',
      // As it was before this statement.
      db.raw(
        '(select old.unreachable_at from registrations old where old.id = registrations.id) as was_unreachable_at',
      ),
    ])) as { id: string; moved_at: Date | null; was_unreachable_at: Date | null }[];
  const { id, moved_at, was_unreachable_at } = rows[0]!;
  return {
    id,
    isNew: id === row.id || was_unreachable_at !== null,
    isMoved: moved_at?.getTime() === row.refreshed_at.getTime(),
  };
}

/**
 * Gives a phone up that a node has rung in vain since `since`; one that has registered in between is there.
 * @returns undefined where it is, or was given up before
 */
export async function markUnreachable(
  db: Queryable,
  o: { id: string; nodeId: string; since: Date; now: Date },
): Promise<RegistrationRecord | undefined> {
  const rows = (await db('registrations')
    .where({ id: o.id, node_id: o.nodeId, unreachable_at: null })
    .where('refreshed_at', '<', o.since)
    .update({ unreachable_at: o.now })
    .returning('*')) as RegistrationRecord[];
  return rows[0];
}

/** Until the transaction ends nobody else counts this user's phones. */
export async function lockRegistrationsOf(trx: Trx, userId: string): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 14))', [userId]);
}

/** Of a user's phones those beyond the `most` that were seen last; those that are gone give way first. */
export async function listSurplus(db: Queryable, userId: string, most: number): Promise<string[]> {
  return (await db('registrations')
    .where({ user_id: userId })
    .orderByRaw('(unreachable_at is null) desc, refreshed_at desc, id desc')
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

/** Those of the same phone that it has left behind: started anew, or at another node, it has another Call-ID. */
export async function deleteSamePhone(
  db: Queryable,
  row: Pick<RegistrationRecord, 'id' | 'node_id' | 'user_id' | 'contact' | 'phone_key'>,
): Promise<RegistrationRecord[]> {
  const { id, node_id, user_id, contact, phone_key } = row;
  return (await db('registrations')
    .where({ user_id })
    .whereNot({ id })
    .where((same) => {
      void same.where({ node_id, contact });
      if (phone_key !== '') void same.orWhere({ phone_key });
    })
    .delete()
    .returning('*')) as RegistrationRecord[];
}

export async function deleteExpiredRegistrations(db: Queryable, before: Date): Promise<RegistrationRecord[]> {
  return (await db('registrations').where('expires_at', '<', before).delete().returning('*')) as RegistrationRecord[];
}

/** A user's phones at one node, by one login: their own, or that of a grant. */
export async function findPhonesAt(
  db: Queryable,
  where: { node_id: string; user_id: string; grant_id: string | null },
): Promise<RegistrationRecord[]> {
  return (await db('registrations').where(where)) as RegistrationRecord[];
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

export async function findRegistrationsOfNode(db: Queryable, nodeId: string): Promise<RegistrationRecord[]> {
  return (await db('registrations').where({ node_id: nodeId })) as RegistrationRecord[];
}

export interface NamedRegistration extends RegistrationRecord {
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

/** Whether the same phone is known at another node. */
export async function isKnownElsewhere(db: Queryable, row: NewRegistration): Promise<boolean> {
  const { user_id, phone_key, node_id } = row;
  if (phone_key === '') return false;
  return (await db('registrations').where({ user_id, phone_key }).whereNot({ node_id }).first('id')) !== undefined;
}

export async function markUnproven(db: Queryable, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await db('registrations').whereIn('id', ids).update({ unproven: true });
}
