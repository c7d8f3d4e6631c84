/** Indexes by which the rooms' sweep finds living sessions and people on the way among millions that are over. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
drop index sessions_living_on_node;
create index sessions_living_on_node on sessions (node_id, id) where state <> 'ended';
create index participants_waiting on participants (state, session_id) where state in ('joining','away');
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop index participants_waiting;
drop index sessions_living_on_node;
create index sessions_living_on_node on sessions (node_id) where state <> 'ended';
`);
}
