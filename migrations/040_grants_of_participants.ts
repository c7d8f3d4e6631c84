/** Whether a grant's holder is in the room is asked when it has expired: they may come back. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('create index participants_grant on participants (grant_id) where grant_id is not null');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop index participants_grant');
}
