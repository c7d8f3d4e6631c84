/** The directory's statements: prepared, each for many names at once, and read as arrays. */

/** `limit 1` holds the planner to one index look-up for each name, whatever it thinks of the tables' sizes. */
export const USER_LOOKUP = {
  name: 'directory-users',
  text: `select asked.n::int, u.* from unnest($1::text[], $2::text[]) with ordinality as asked(domain, username, n),
         lateral (select u.id, u.domain_id, d.name, u.username, u.display_name, u.caller_number, u.ha1, u.enabled
           from domains d join users u on u.domain_id = d.id
           where d.name = asked.domain and u.username = asked.username limit 1) u`,
};

/** Users of before may differ in capitals alone: then neither is meant by a third spelling. */
export const SPELLING_LOOKUP = {
  name: 'directory-spellings',
  text: `select asked.n::int, u.username from unnest($1::text[], $2::text[]) with ordinality as asked(domain, username, n),
         lateral (select min(u.username) as username from domains d join users u on u.domain_id = d.id
           where d.name = asked.domain and lower(u.username) = lower(asked.username) having count(*) = 1) u`,
};

export const NUMBER_LOOKUP = {
  name: 'directory-numbers',
  text: `select asked.n::int, u.username from unnest($1::text[], $2::text[]) with ordinality as asked(domain, number, n),
         lateral (select u.username from domains d join users u on u.domain_id = d.id
           where d.name = asked.domain and u.dial_number = asked.number limit 1) u`,
};

/** The name is not looked at: a domain has one country, or none. */
export const COUNTRY_LOOKUP = {
  name: 'directory-countries',
  text: `select asked.n::int, d.country from unnest($1::text[], $2::text[]) with ordinality as asked(domain, any_name, n)
         join domains d on d.name = asked.domain where d.country is not null`,
};

/** The columns of USER_LOOKUP. */
export type UserLookupRow = [number, string, string, string, string, string, string | null, string, boolean];
