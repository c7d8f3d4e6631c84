/** Keeps what a node's reports let it carry beside what it says of itself, so that all replicas count with the same. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes add column effective_units numeric');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes drop column if exists effective_units');
}
