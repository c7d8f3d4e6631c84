/** Nodes that wait for an admin's yes, tokens that let one node in once, an Event Socket password for each process, and tickets into rooms. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table nodes drop constraint nodes_state_check;
alter table nodes add constraint nodes_state_check
  check (state in ('pending','joining','serving','draining','down'));
alter table nodes add column esl_core_uuid text;
alter table nodes add column asking_core_uuid text;
create table node_tokens (
  id uuid primary key,
  name text not null,
  -- null: it was let in by the reusable join token
  token_hash text unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  secret_hash text,
  entered_at timestamptz,
  constraint node_tokens_used_with_secret check ((used_at is null) = (secret_hash is null))
);
create index node_tokens_name on node_tokens (name);
create table room_tickets (
  hash text primary key,
  participant_id uuid not null references participants(id) on delete cascade,
  room_id uuid not null references rooms(id) on delete cascade,
  leg_id uuid not null,
  node_id uuid not null references nodes(id) on delete cascade,
  expires_at timestamptz not null,
  used_at timestamptz
);
create index room_tickets_expiry on room_tickets (expires_at);
`);
}

/** Nodes that nobody has approved are no nodes to the version before: they are left out, and enter again. */
export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop table room_tickets;
drop table node_tokens;
alter table nodes drop column asking_core_uuid;
alter table nodes drop column esl_core_uuid;
delete from nodes where state = 'pending';
alter table nodes drop constraint nodes_state_check;
alter table nodes add constraint nodes_state_check check (state in ('joining','serving','draining','down'));
`);
}
