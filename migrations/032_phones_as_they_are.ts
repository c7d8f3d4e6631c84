/** Registrations know whether anybody is still there, which phone they are of, and whether the phone has changed its socket. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table registrations
  add column unreachable_at timestamptz,
  add column phone_key text not null default '',
  add column moved_at timestamptz;
comment on column registrations.unreachable_at is 'Since when it is not rung: a call found nobody there. Null again when it registers anew.';
comment on column registrations.phone_key is 'The same for one phone, whichever Call-ID it has and at whichever node it is.';
comment on column registrations.moved_at is 'Set once it came from another socket with the same Call-ID: the end of the old one may be told later.';
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`alter table registrations drop column unreachable_at, drop column phone_key, drop column moved_at`);
}
