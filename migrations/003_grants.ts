/** The table of grants: short-lived rights to register as a user or to enter a room, kept as digests only. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table grants (
  id uuid primary key,
  kind text not null check (kind in ('room','user')),
  domain_id uuid not null references domains(id) on delete cascade,
  room_id uuid references rooms(id) on delete cascade,
  user_id uuid references users(id) on delete cascade,
  username text not null,
  ha1 text not null,
  token_hash text not null unique,
  identity text not null,
  name text not null default '',
  role text not null check (role in ('moderator','participant')),
  max_video_kbps integer,
  metadata jsonb not null default '{}',
  node_id uuid references nodes(id) on delete set null,
  after_number bigint not null default 0,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  revoked_at timestamptz,
  closed_at timestamptz,
  constraint grants_username_unique unique (domain_id, username),
  constraint grants_room_of_kind check ((kind = 'room') = (room_id is not null)),
  constraint grants_user_of_kind check (kind = 'room' or user_id is not null)
);
create index grants_room on grants (room_id, id);
create index grants_user on grants (user_id, id);
create index grants_revoked on grants (revoked_at) where revoked_at is not null;
create index grants_open on grants (expires_at) where closed_at is null;
alter table registrations add column grant_id uuid;
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`alter table registrations drop column if exists grant_id; drop table if exists grants cascade`);
}
