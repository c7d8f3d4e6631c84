/** The SQL of a batch of reports of phones: everything of it is looked up, and written, with one statement for each verb. */
import { isDeadlock, type Queryable, type Trx } from '../../../infra/stores/db';
import type { NamedHolder, RegistrationRow } from '../registrations.store';

/** By which name somebody logs in; `is_grant` where its shape is that of a grant. */
export interface WantedLogin {
  username: string;
  /** In small letters. */
  domain: string;
  is_grant: boolean;
}

/** Who is meant: with the end of a grant, where it is one. Over or not, enabled or not. */
const HOLDERS = `
  select w.*, u.id as user_id, null::uuid as grant_id, null::timestamptz as grant_expires_at,
         null::timestamptz as grant_revoked_at
  from wanted w
  join domains d on d.name = w.domain
  join users u on u.domain_id = d.id and u.username = w.username
  where not w.is_grant
  union all
  select w.*, u.id, g.id, g.expires_at, g.revoked_at
  from wanted w
  join grants g on w.is_grant and g.username = w.username and g.kind = 'user'
  join users u on u.id = g.user_id
  join domains d on d.id = u.domain_id and d.name = w.domain`;

export interface LockedHolder extends NamedHolder {
  /** By what they are wanted; null where a registration of theirs is. */
  login: string | null;
  domain_name: string | null;
}

/**
 * Those users, held until the transaction ends, in one order: nobody else takes in, or counts, their phones in the meantime.
 * @param registrationIds whose users are wanted too
 */
export async function lockHolders(
  trx: Trx,
  logins: readonly WantedLogin[],
  registrationIds: readonly string[],
): Promise<LockedHolder[]> {
  const result = await trx.raw<{ rows: LockedHolder[] }>(
    `with wanted as (
       select * from json_to_recordset(?::json) as w(username text, domain text, is_grant boolean))
     select u.id, u.domain_id, u.username, u.enabled, h.login, h.domain_name, h.grant_id, h.grant_expires_at,
            h.grant_revoked_at
     from users u
     join (
       select username as login, domain as domain_name, user_id, grant_id, grant_expires_at, grant_revoked_at
       from (${HOLDERS}) named
       union all
       select null, null, user_id, null, null, null from registrations where id = any(?::uuid[])) h on h.user_id = u.id
     order by u.id
     for no key update of u`,
    [JSON.stringify(logins), [...registrationIds]],
  );
  return result.rows;
}

/** All phones of these users, held until the transaction ends. */
export async function lockPhonesOf(trx: Trx, userIds: readonly string[]): Promise<RegistrationRow[]> {
  const result = await trx.raw<{ rows: RegistrationRow[] }>(
    'select * from registrations where user_id = any(?::uuid[]) order by id for update',
    [[...userIds]],
  );
  return result.rows;
}

/** Keeps registrations as they are given, whether they are known or not; since when and by which grant stays. */
export async function savePhones(trx: Trx, rows: readonly RegistrationRow[]): Promise<void> {
  if (rows.length === 0) return;
  await trx.raw(
    `insert into registrations (id, node_id, domain_id, user_id, sip_call_id, contact, profile, user_agent, network_ip,
       network_port, transport, registered_at, refreshed_at, expires_at, grant_id, phone_key, unreachable_at, moved_at,
       unproven)
     select id, node_id, domain_id, user_id, sip_call_id, contact, profile, user_agent, network_ip,
       network_port, transport, registered_at, refreshed_at, expires_at, grant_id, phone_key, unreachable_at, moved_at,
       unproven
     from json_populate_recordset(null::registrations, ?::json)
     on conflict (node_id, user_id, sip_call_id) do update set
       contact = excluded.contact, profile = excluded.profile, user_agent = excluded.user_agent,
       network_ip = excluded.network_ip, network_port = excluded.network_port, transport = excluded.transport,
       refreshed_at = excluded.refreshed_at, expires_at = excluded.expires_at, phone_key = excluded.phone_key,
       unreachable_at = excluded.unreachable_at, moved_at = excluded.moved_at, unproven = excluded.unproven`,
    [JSON.stringify(rows)],
  );
}

export async function deletePhones(trx: Trx, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await trx('registrations').whereIn('id', ids).delete();
}

/** A registration that may be known just so. */
export interface Refresh
  extends
    WantedLogin,
    Pick<RegistrationRow, 'node_id' | 'sip_call_id' | 'contact' | 'profile' | 'user_agent' | 'network_ip'>,
    Pick<RegistrationRow, 'network_port' | 'transport' | 'expires_at'> {
  /** The caller's own number of it. */
  at: number;
}

/**
 * Most registrations only say that their phone is still there: nothing of them is written but until when. A phone that was
 * given up, is unproven, or has changed anything is none of them; nor is one whose user or grant is over.
 * @returns the numbers of those that are done with this
 */
export async function refreshPhones(db: Queryable, rows: readonly Refresh[], now: Date): Promise<number[]> {
  if (rows.length === 0) return [];
  try {
    const result = await db.raw<{ rows: { at: number }[] }>(
      `with wanted as (
         select * from json_to_recordset(?::json) as w(at int, node_id uuid, username text, domain text, is_grant boolean,
           sip_call_id text, contact text, profile text, user_agent text, network_ip text, network_port int,
           transport text, expires_at timestamptz))
       update registrations r
       set refreshed_at = ?, expires_at = least(h.expires_at, h.grant_expires_at)
       from (${HOLDERS}) h
       join users u on u.id = h.user_id
       where r.node_id = h.node_id and r.user_id = h.user_id and r.sip_call_id = h.sip_call_id
         and r.grant_id is not distinct from h.grant_id and r.contact = h.contact and r.profile = h.profile
         and r.user_agent = h.user_agent and r.network_ip = h.network_ip
         and r.network_port is not distinct from h.network_port and r.transport = h.transport
         and r.unreachable_at is null and not r.unproven
         and u.enabled and h.grant_revoked_at is null and coalesce(h.grant_expires_at, 'infinity') > ?
       returning h.at`,
      [JSON.stringify(rows), now, now],
    );
    return result.rows.map(({ at }) => at);
  } catch (error) {
    // Nothing is done: what locks them in one order, and tries again, has them.
    if (isDeadlock(error)) return [];
    throw error;
  }
}

/**
 * Of phones that nodes are to forget those that may be named to them. A Call-ID may be `user@domain` or a domain: by such a
 * one a phone would have a user's phones ended, or a whole tenant's (sofia_reg.c, sofia_reg_expire_call_id). And a node
 * forgets every phone with a Call-ID, whoever's they are. One that is left there for that ends with its time.
 */
export async function listForgettable<Phone extends Pick<RegistrationRow, 'node_id' | 'profile' | 'sip_call_id'>>(
  db: Queryable,
  phones: readonly Phone[],
): Promise<Phone[]> {
  if (phones.length === 0) return [];
  const wanted = phones.map(({ node_id, sip_call_id }, at) => {
    return { at, node_id, sip_call_id, domain: sip_call_id.slice(sip_call_id.indexOf('@') + 1).toLowerCase() };
  });
  const result = await db.raw<{ rows: { at: number }[] }>(
    `select w.at from json_to_recordset(?::json) as w(at int, node_id uuid, sip_call_id text, domain text)
     where not exists (select from domains d where d.name = w.domain)
       and not exists (select from registrations r where r.node_id = w.node_id and r.sip_call_id = w.sip_call_id)
     order by w.at`,
    [JSON.stringify(wanted)],
  );
  return result.rows.map(({ at }) => phones[at]!);
}
