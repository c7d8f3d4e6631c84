/** The table of relays: where a room's picture is to be sent, how that goes, and what was missed. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table relays (
  id uuid primary key,
  domain_id uuid not null references domains(id) on delete cascade,
  room_id uuid not null references rooms(id) on delete cascade,
  name text not null default '',
  url text not null,
  stream_key_sealed text not null,
  max_restarts integer not null,
  desired text not null check (desired in ('live','stopped')),
  state text not null check (state in
    ('waiting','checking','starting','live','restarting','stopping','stopped','failed')),
  session_id uuid references sessions(id) on delete set null,
  meeting_id uuid,
  node_id uuid references nodes(id) on delete set null,
  owner_id uuid,
  owned_until timestamptz,
  restarts integer not null default 0,
  tries integer not null default 0,
  next_try_at timestamptz,
  last_fault text,
  gaps jsonb not null default '[]',
  gap_ms bigint not null default 0,
  bytes_sent bigint not null default 0,
  created_at timestamptz not null default now(),
  first_live_at timestamptz,
  live_since timestamptz,
  flowed_at timestamptz,
  ended_at timestamptz,
  constraint relays_end_has_time check ((state in ('stopped','failed')) = (ended_at is not null))
);
create index relays_room on relays (room_id);
create index relays_domain on relays (domain_id, id);
create index relays_open on relays (id) where state not in ('stopped','failed');
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop table if exists relays');
}
