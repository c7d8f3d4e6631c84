/** Users and rooms are found whether their names are written in capitals or not. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create index users_any_spelling on users (domain_id, lower(username));
create index rooms_any_spelling on rooms (domain_id, lower(name));
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`drop index users_any_spelling, rooms_any_spelling`);
}
