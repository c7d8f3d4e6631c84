/** A node's clock: what it is ahead of ours, what it was before, and what is done about it. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes add column clock jsonb');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes drop column clock');
}
