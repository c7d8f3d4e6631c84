/** Why a node can't be connected to, since when, and from where it was tried: a node that never joins has a reason to show. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes add column connection_fault jsonb');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes drop column connection_fault');
}
