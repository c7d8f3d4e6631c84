/** The tables of the first release: who may register, which nodes there are, what was called, and the numbered log. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table domains (
  id uuid primary key,
  name text not null unique,
  display_name text not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create table users (
  id uuid primary key,
  domain_id uuid not null references domains(id) on delete cascade,
  username text not null,
  display_name text not null default '',
  caller_number text,
  ha1 text not null,
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint users_username_unique unique (domain_id, username)
);
create table api_keys (
  id uuid primary key,
  name text not null,
  key_hash text not null unique,
  hint text not null,
  scopes text[] not null,
  domain_id uuid references domains(id) on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz
);
create table idempotency_keys (
  api_key_id uuid not null references api_keys(id) on delete cascade,
  key text not null,
  request_hash text not null,
  status integer,
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (api_key_id, key)
);
create table nodes (
  id uuid primary key,
  name text not null unique,
  secret_hash text not null,
  esl_password_sealed text not null,
  host text not null,
  esl_port integer not null,
  sip_port integer not null,
  internode_port integer not null,
  ws_port integer not null,
  ws_url text,
  zone text not null default '',
  capacity_units numeric not null default 100,
  state text not null check (state in ('joining','serving','draining','down')),
  drain_deadline_at timestamptz,
  core_uuid text,
  version text,
  session_count integer not null default 0,
  max_sessions integer not null default 1000,
  idle_cpu_percent numeric not null default 100,
  reported_at timestamptz,
  down_since timestamptz,
  down_reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create table registrations (
  id uuid primary key,
  node_id uuid not null references nodes(id) on delete cascade,
  domain_id uuid not null references domains(id) on delete cascade,
  user_id uuid not null references users(id) on delete cascade,
  sip_call_id text not null,
  contact text not null,
  profile text not null,
  user_agent text not null default '',
  network_ip text not null default '',
  network_port integer,
  transport text not null default '',
  registered_at timestamptz not null default now(),
  refreshed_at timestamptz not null default now(),
  expires_at timestamptz not null,
  constraint registrations_one unique (node_id, user_id, sip_call_id)
);
create index registrations_user on registrations (user_id);
create table calls (
  id uuid primary key,
  domain_id uuid not null references domains(id) on delete cascade,
  origin text not null check (origin in ('api','phone')),
  from_address text not null,
  to_address text not null,
  caller_name text not null default '',
  state text not null check (state in ('queued','placing','ringing','answered','ended')),
  outcome text check (outcome in
    ('answered','busy','no_answer','rejected','cancelled','unreachable','no_capacity','failed','lost')),
  node_id uuid references nodes(id) on delete set null,
  hangup_cause text,
  units numeric not null default 2,
  ring_timeout_seconds integer not null default 30,
  place_before timestamptz not null,
  hangup_requested_at timestamptz,
  queued_at timestamptz not null default now(),
  placing_at timestamptz,
  ringing_at timestamptz,
  answered_at timestamptz,
  ended_at timestamptz,
  talk_seconds numeric,
  metadata jsonb not null default '{}',
  constraint calls_end_has_outcome check ((state = 'ended') = (outcome is not null))
);
create index calls_domain on calls (domain_id, id);
create index calls_live on calls (node_id) where state <> 'ended';
create table call_attempts (
  call_id uuid not null references calls(id) on delete cascade,
  number integer not null,
  node_id uuid references nodes(id) on delete set null,
  node_name text not null,
  node_core_uuid text,
  leg_id uuid not null unique,
  placed_at timestamptz not null,
  rang_at timestamptz,
  ended_at timestamptz,
  result text,
  hangup_cause text,
  primary key (call_id, number)
);
create table placements (
  call_id uuid not null references calls(id) on delete cascade,
  attempt integer not null,
  decided_at timestamptz not null,
  node_id uuid,
  node_name text,
  policy text not null,
  considered jsonb not null,
  primary key (call_id, attempt)
);
create table legs (
  id uuid primary key,
  call_id uuid not null references calls(id) on delete cascade,
  node_id uuid references nodes(id) on delete set null,
  role text not null check (role in ('from','to','transit')),
  address text not null default '',
  state text not null check (state in ('placing','ringing','answered','ended')),
  created_at timestamptz not null default now(),
  ringing_at timestamptz,
  answered_at timestamptz,
  ended_at timestamptz,
  hangup_cause text
);
create index legs_call on legs (call_id);
create index legs_live on legs (node_id) where state <> 'ended';
create table cdrs (
  leg_id uuid primary key,
  node_id uuid references nodes(id) on delete set null,
  call_id uuid,
  received_at timestamptz not null default now(),
  record jsonb not null
);
create table event_heads (
  stream text primary key,
  last_number bigint not null,
  first_number bigint not null default 1
);
create table events (
  stream text not null,
  number bigint not null,
  type text not null,
  at timestamptz not null default clock_timestamp(),
  call_id uuid,
  user_id uuid,
  node_id uuid,
  data jsonb not null,
  primary key (stream, number)
);
create index events_at on events (at);
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`drop table if exists events, event_heads, cdrs, legs, placements, call_attempts, calls,
    registrations, nodes, idempotency_keys, api_keys, users, domains cascade`);
}
