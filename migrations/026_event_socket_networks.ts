/** From where a node's Event Socket lets in, as its process was told when it opened: no list that is lost takes that away. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes add column esl_networks text');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes drop column esl_networks');
}
