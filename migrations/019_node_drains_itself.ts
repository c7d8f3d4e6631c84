/** Who drained a node: what it began itself it may end itself, and what an operator began it may not. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes add column drained_itself boolean not null default false');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes drop column drained_itself');
}
