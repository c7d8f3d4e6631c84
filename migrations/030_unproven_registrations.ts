/** Phones that a node lists from before it was started anew: they may be there, and nobody has heard of them since. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table registrations add column unproven boolean not null default false');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table registrations drop column unproven');
}
