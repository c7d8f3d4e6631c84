/** The tables of recordings: what was asked for, the files it is made of and where each is, and what is missing. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table recordings (
  id uuid primary key,
  domain_id uuid not null references domains(id) on delete cascade,
  kind text not null check (kind in ('room','call')),
  room_id uuid references rooms(id) on delete set null,
  meeting_id uuid,
  call_id uuid references calls(id) on delete set null,
  leg_id uuid,
  format text not null check (format in ('mp4','wav')),
  origin text not null check (origin in ('api','room')),
  desired text not null check (desired in ('recording','paused','stopped')),
  state text not null check (state in
    ('starting','recording','paused','stopping','uploading','completed','absent','failed')),
  reason text,
  tries integer not null default 0,
  next_try_at timestamptz,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  completed_at timestamptz,
  keep_days integer,
  expires_at timestamptz,
  deleted_at timestamptz,
  metadata jsonb not null default '{}'
);
create unique index recordings_one_of_room on recordings (room_id) where desired <> 'stopped';
create unique index recordings_one_of_call on recordings (call_id) where desired <> 'stopped';
create index recordings_domain on recordings (domain_id, id);
create index recordings_due on recordings (next_try_at) where next_try_at is not null;
create index recordings_expiring on recordings (expires_at) where deleted_at is null;
create table recording_parts (
  id uuid primary key,
  recording_id uuid not null references recordings(id) on delete cascade,
  number integer not null,
  node_id uuid references nodes(id) on delete set null,
  node_name text not null,
  session_id uuid,
  leg_id uuid,
  format text not null,
  path text not null,
  state text not null check (state in
    ('starting','recording','stopping','uploading','stored','absent','failed','deleted')),
  requested_at timestamptz not null,
  commanded_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  end_reason text,
  node_ms bigint,
  media_ms bigint,
  playable boolean,
  seen_bytes bigint not null default 0,
  grown_at timestamptz,
  looked_at timestamptz,
  stalled boolean not null default false,
  bytes bigint,
  sha256 text,
  storage_key text,
  stored_at timestamptz,
  node_copy boolean not null default true,
  tries integer not null default 0,
  next_try_at timestamptz,
  fault text,
  constraint recording_parts_number unique (recording_id, number)
);
create unique index recording_parts_one_living on recording_parts (recording_id)
  where state in ('starting','recording','stopping');
create index recording_parts_node on recording_parts (node_id) where state not in ('stored','deleted') or node_copy;
create index recording_parts_due on recording_parts (next_try_at) where next_try_at is not null;
create table recording_gaps (
  id uuid primary key,
  recording_id uuid not null references recordings(id) on delete cascade,
  reason text not null check (reason in ('paused','interrupted','node_died','moved','stalled')),
  from_at timestamptz not null,
  to_at timestamptz
);
create index recording_gaps_recording on recording_gaps (recording_id);
create table recording_leftovers (
  id uuid primary key default gen_random_uuid(),
  storage_key text not null,
  next_try_at timestamptz not null default now()
);
-- A domain that is deleted takes its recordings' rows with it: their files must not be forgotten.
create function keep_recording_leftover() returns trigger language plpgsql as $$
begin
  if old.storage_key is not null then
    insert into recording_leftovers (storage_key) values (old.storage_key);
  end if;
  return old;
end $$;
create trigger recording_parts_leftover after delete on recording_parts
  for each row execute function keep_recording_leftover();
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`drop table if exists recording_leftovers, recording_gaps, recording_parts, recordings cascade;
    drop function if exists keep_recording_leftover`);
}
