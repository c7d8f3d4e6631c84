/** Numbers by which users are dialled, each in its domain once, and the country by whose habits a domain's people dial. */
import type { Knex } from 'knex';

/**
 * What was given as a caller's number before leads to its user where it is theirs alone. Where several users have it (a
 * head office's), or it is a name that is dialled already, it is only shown, as it was.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table domains add column country text;
alter table users add column dial_number text;
update users u set dial_number = u.caller_number
 where u.caller_number ~ '^([+][1-9][0-9]{2,14}|[0-9]{1,32})$'
   and u.caller_number <> '9196'
   and not exists (select 1 from users o
     where o.domain_id = u.domain_id and o.id <> u.id and (o.caller_number = u.caller_number or o.username = u.caller_number))
   and not exists (select 1 from rooms r where r.domain_id = u.domain_id and r.name = u.caller_number);
create unique index users_dial_number_unique on users (domain_id, dial_number) where dial_number is not null;
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`drop index users_dial_number_unique;
    alter table users drop column dial_number;
    alter table domains drop column country`);
}
