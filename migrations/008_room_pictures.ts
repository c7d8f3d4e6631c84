/** Keeps the pictures of rooms, so that every replica can give them, and what of them lies on which node. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table room_pictures (
  id uuid primary key,
  room_id uuid not null references rooms(id) on delete cascade,
  kind text not null check (kind in ('background','welcome')),
  content_type text not null,
  width integer not null,
  height integer not null,
  sha256 text not null,
  content bytea not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint room_pictures_one unique (room_id, kind)
);
create table session_pictures (
  session_id uuid not null,
  kind text not null check (kind in ('background','welcome')),
  node_id uuid not null references nodes(id) on delete cascade,
  path text not null,
  picture_id uuid,
  tried_id uuid,
  tries integer not null default 0,
  next_try_at timestamptz,
  fault text,
  shown text,
  confirm_at timestamptz,
  primary key (session_id, kind)
)`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`drop table if exists session_pictures, room_pictures`);
}
