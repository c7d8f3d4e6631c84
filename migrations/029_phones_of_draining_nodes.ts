/** A node that drains gives its phones up: who was asked to move, whether the node turns phones away, and whether it is to. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table registrations add column asked_to_move_at timestamptz');
  // phones_refused is what the node was told last, when it read its SIP profiles; keeps_phones is what an operator wants;
  // until door_open_until it takes phones for a moment, since one of them is being rung.
  await knex.raw(`alter table nodes add column phones_refused boolean not null default false,
                                    add column door_open_until timestamptz,
                                    add column keeps_phones boolean not null default false`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table nodes drop column phones_refused, drop column keeps_phones, drop column door_open_until');
  await knex.raw('alter table registrations drop column asked_to_move_at');
}
