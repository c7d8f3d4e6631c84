/** Users who were disabled or deleted: nodes that were out of reach at that moment are told when they are back. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table ended_users (
  user_id uuid primary key,
  domain_name text not null,
  username text not null,
  /** SIP names of the grants that ended with them. */
  sip_names text[] not null default '{}',
  reason text not null check (reason in ('user_disabled','user_deleted')),
  ended_at timestamptz not null
)`);
  await knex.raw('create index ended_users_at on ended_users (ended_at)');
  await knex.raw(
    `create index participants_present on participants (user_id) where user_id is not null and state in ('joining','in')`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop index participants_present');
  await knex.raw('drop table ended_users');
}
