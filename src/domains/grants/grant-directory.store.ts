/** The one statement that finds grants by their SIP names, many at once: prepared, and read as arrays. */
import type { GrantKind, GrantRole } from './grants.store';
import { GOOD_UNTIL } from './lasting/come-back.store';

export const GRANT_LOOKUP = {
  name: 'directory-grants',
  text: `select asked.n::int, g.* from unnest($1::text[], $2::text[]) with ordinality as asked(domain, username, n),
         lateral (select g.id, g.kind, g.domain_id, d.name as domain, g.room_id, g.user_id, u.username as user_name,
             g.identity, g.name, g.role, g.max_video_kbps, ${GOOD_UNTIL}, g.username, u.caller_number, g.ha1
           from domains d join grants g on g.domain_id = d.id left join users u on u.id = g.user_id
           where d.name = asked.domain and g.username = asked.username and g.revoked_at is null
             and ${GOOD_UNTIL} > now() and (u.id is null or u.enabled) limit 1) g`,
};

/** The columns of GRANT_LOOKUP. */
export type GrantLookupRow = [
  n: number,
  id: string,
  kind: GrantKind,
  domainId: string,
  domain: string,
  roomId: string | null,
  userId: string | null,
  userName: string | null,
  identity: string,
  name: string,
  role: GrantRole,
  maxVideoKbps: number | null,
  expiresAt: Date,
  sipName: string,
  callerNumber: string | null,
  sealedHa1: string,
];
