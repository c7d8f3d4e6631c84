/** Two more ways for a call to end: a phone was not heard of any more, and it was on hold for too long. */
import type { Knex } from 'knex';

const BEFORE = [
  'answered',
  'busy',
  'no_answer',
  'rejected',
  'cancelled',
  'unreachable',
  'no_capacity',
  'failed',
  'lost',
];

const listOf = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(',');

/** Whatever the list was made into since, it has these words beside. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table calls drop constraint if exists calls_outcome_check');
  await knex.raw(
    `alter table calls add constraint calls_outcome_check check (outcome in (${listOf([...BEFORE, 'connection_lost', 'hold_limit'])}))`,
  );
  await knex.raw('alter table legs add column held_since timestamptz');
  await knex.raw('create index legs_held on legs (held_since) where held_since is not null');
  await knex.raw('alter table calls add column hangup_reason text');
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table calls drop column hangup_reason');
  await knex.raw('alter table legs drop column held_since');
  await knex.raw(`update calls set outcome = 'answered' where outcome in ('connection_lost','hold_limit')`);
  await knex.raw('alter table calls drop constraint calls_outcome_check');
  await knex.raw(`alter table calls add constraint calls_outcome_check check (outcome in (${listOf(BEFORE)}))`);
}
