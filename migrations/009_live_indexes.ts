/** Indexes by which live calls and open attempts are found among millions that are over. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
drop index calls_live;
create index calls_live on calls (node_id, id) where state <> 'ended';
create index calls_unanswered on calls (id) where state in ('queued','placing','ringing');
create index call_attempts_open on call_attempts (node_id) where ended_at is null;
alter table placements add column left_out integer not null default 0;
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
alter table placements drop column left_out;
drop index call_attempts_open;
drop index calls_unanswered;
drop index calls_live;
create index calls_live on calls (node_id) where state <> 'ended';
`);
}
