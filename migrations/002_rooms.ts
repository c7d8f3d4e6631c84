/** The tables of rooms: what a room should be, each of its lives on a node, who owns it now, and who is or was in it. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table rooms (
  id uuid primary key,
  domain_id uuid not null references domains(id) on delete cascade,
  name text not null,
  display_name text not null default '',
  settings jsonb not null default '{}',
  pin_sealed text,
  moderator_pin_sealed text,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint rooms_name_unique unique (domain_id, name)
);
create table room_layouts (
  id uuid primary key,
  domain_id uuid not null references domains(id) on delete cascade,
  name text not null,
  definition jsonb not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint room_layouts_name_unique unique (domain_id, name)
);
create table sessions (
  id uuid primary key,
  room_id uuid not null references rooms(id) on delete cascade,
  domain_id uuid not null references domains(id) on delete cascade,
  node_id uuid references nodes(id) on delete set null,
  epoch bigint not null,
  meeting_id uuid not null,
  state text not null check (state in ('opening','live','ended')),
  conference_uuid text,
  units numeric not null,
  settings jsonb not null,
  layout text,
  locked boolean not null default false,
  floor_participant_id uuid,
  video_floor_participant_id uuid,
  observed jsonb not null default '{}',
  opened_at timestamptz not null default now(),
  open_until timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  end_reason text,
  constraint sessions_epoch_unique unique (room_id, epoch),
  constraint sessions_end_has_reason check ((state = 'ended') = (end_reason is not null))
);
create unique index sessions_one_living on sessions (room_id) where state <> 'ended';
create index sessions_living_on_node on sessions (node_id) where state <> 'ended';
create index sessions_meeting on sessions (meeting_id);
create table leases (
  room_id uuid primary key references rooms(id) on delete cascade,
  node_id uuid references nodes(id) on delete set null,
  session_id uuid,
  epoch bigint not null default 0,
  taken_at timestamptz
);
create table participants (
  id uuid primary key,
  room_id uuid not null references rooms(id) on delete cascade,
  session_id uuid not null references sessions(id) on delete cascade,
  meeting_id uuid not null,
  domain_id uuid not null references domains(id) on delete cascade,
  call_id uuid,
  leg_id uuid unique,
  member_id integer,
  identity text not null,
  kind text not null check (kind in ('grant','user','number')),
  grant_id uuid,
  user_id uuid,
  name text not null default '',
  role text not null check (role in ('moderator','participant')),
  state text not null check (state in ('joining','in','away','left')),
  created_at timestamptz not null default now(),
  entering_at timestamptz not null default now(),
  joined_at timestamptz,
  left_at timestamptz,
  leave_reason text,
  muted boolean not null default false,
  video_muted boolean not null default false,
  deaf boolean not null default false,
  volume_in integer not null default 0,
  volume_out integer not null default 0,
  layer integer,
  reservation text,
  banner text,
  max_video_kbps integer,
  hand_raised_at timestamptz,
  observed jsonb not null default '{}',
  quality jsonb
);
create index participants_session on participants (session_id);
create index participants_meeting on participants (meeting_id, identity);
alter table events add column room_id uuid;
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`alter table events drop column if exists room_id;
    drop table if exists participants, leases, sessions, room_layouts, rooms cascade`);
}
