/** Keeps what the health checks and the canary saw of each node, so that every replica passes a sick one over. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table nodes
  add column unhealthy_reason text,
  add column health_since timestamptz,
  add column probe jsonb not null default '{}',
  add column canary jsonb`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
alter table nodes
  drop column if exists unhealthy_reason,
  drop column if exists health_since,
  drop column if exists probe,
  drop column if exists canary`);
}
