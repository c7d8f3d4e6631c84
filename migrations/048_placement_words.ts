/** Placement reports use the words of the API: a node that was possible and not taken is `notPreferred`, and why is `saturated` or `stale`. */
import type { Knex } from 'knex';

const rename = (old: string, renamed: string, values: readonly (readonly [string, string])[]): string => {
  const renamedValues = values.reduce(
    (sql, [from, to]) => `replace(${sql}, '"${old}": "${from}"', '"${old}": "${to}"')`,
    'considered::text',
  );
  return `update placements set considered = replace(${renamedValues}, '"${old}":', '"${renamed}":')::jsonb
          where considered @? '$[*].${old}'`;
};

export async function up(knex: Knex): Promise<void> {
  await knex.raw(
    rename('passedOver', 'notPreferred', [
      ['resting', 'saturated'],
      ['late', 'stale'],
    ]).replaceAll('?', '\\?'),
  );
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(
    rename('notPreferred', 'passedOver', [
      ['saturated', 'resting'],
      ['stale', 'late'],
    ]).replaceAll('?', '\\?'),
  );
}
