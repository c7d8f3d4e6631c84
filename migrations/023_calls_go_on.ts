/** A call may go on where another has ended into it, and may have been found on a node after its row said that it was over. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table calls add column joined_into uuid references calls(id) on delete set null;
alter table calls add column adopted_at timestamptz;
create index calls_joined_into on calls (joined_into) where joined_into is not null;
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop index calls_joined_into;
alter table calls drop column joined_into;
alter table calls drop column adopted_at;
`);
}
