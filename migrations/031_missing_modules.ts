/** Modules that a node was asked for and has not: what needs them is not sent there. Null before it was asked. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes add column missing_modules jsonb');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes drop column missing_modules');
}
