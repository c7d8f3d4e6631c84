/** How many calls of a domain ring is counted before each of its calls is dialled: by an index that holds nothing else. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create index calls_ringing on calls (domain_id) where state in ('placing','ringing')`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop index calls_ringing');
}
