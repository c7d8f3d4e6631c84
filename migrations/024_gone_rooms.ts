/** Rooms and sessions that were deleted: a node that still runs one was told to end it, and it is not taken for a lost row. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table gone_rooms (
  /** Of a room, or of a session of it. */
  id uuid primary key,
  deleted_at timestamptz not null default now()
);
create index gone_rooms_at on gone_rooms (deleted_at);
create function note_gone_room() returns trigger language plpgsql as $$
begin
  insert into gone_rooms (id) values (old.id) on conflict (id) do nothing;
  return null;
end $$;
create trigger rooms_gone after delete on rooms for each row execute function note_gone_room();
create trigger sessions_gone after delete on sessions for each row execute function note_gone_room();
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop trigger sessions_gone on sessions;
drop trigger rooms_gone on rooms;
drop function note_gone_room();
drop table gone_rooms;
`);
}
