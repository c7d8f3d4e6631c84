/** Where the caller has several phones, another leg than the first may carry an attempt: the first one's id stays its mark. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table call_attempts add column first_leg_id uuid');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table call_attempts drop column first_leg_id');
}
