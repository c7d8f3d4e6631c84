/** The table of bans: who gets no further try for a while, since they guessed; kept for a while after their end, for the next. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table bans (
  id uuid primary key,
  kind text not null check (kind in ('address','login','pin','room_pin')),
  key text not null,
  door text not null check (door in ('sip','api','room')),
  address text,
  domain_id uuid references domains(id) on delete cascade,
  domain text,
  username text,
  room_id uuid references rooms(id) on delete cascade,
  identity text,
  reason text not null,
  note text not null default '',
  level integer not null check (level between 1 and 5),
  failures integer not null default 0,
  spared jsonb not null default '[]',
  started_at timestamptz not null default now(),
  until timestamptz not null,
  ended_at timestamptz,
  end_reason text check (end_reason in ('expired','lifted','password_changed')),
  changed_at timestamptz not null default now(),
  constraint bans_end_has_reason check ((ended_at is null) = (end_reason is null))
);
create unique index bans_active on bans (key) where ended_at is null;
create index bans_of_key on bans (key, started_at);
create index bans_domain on bans (domain_id, id);
create index bans_changed on bans (changed_at);
create index participants_identity on participants (room_id, identity);
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop index if exists participants_identity; drop table if exists bans');
}
