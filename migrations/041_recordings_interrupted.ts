/** A recording that should run and can't is `interrupted`; a call on hold is told as a gap; what can't be played was never `completed`. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table recordings drop constraint recordings_state_check;
alter table recordings add constraint recordings_state_check check (state in
  ('starting','recording','interrupted','paused','stopping','uploading','completed','absent','failed'));
alter table recording_gaps drop constraint recording_gaps_reason_check;
alter table recording_gaps add constraint recording_gaps_reason_check check (reason in
  ('paused','interrupted','node_died','moved','stalled','held'));
update recordings set state = 'failed' where state = 'completed' and exists
  (select 1 from recording_parts p where p.recording_id = recordings.id and p.state = 'stored' and not p.playable);
update recording_parts set state = 'failed' where state = 'stored' and not playable;
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
update recordings set state = 'starting' where state = 'interrupted';
delete from recording_gaps where reason = 'held';
alter table recordings drop constraint recordings_state_check;
alter table recordings add constraint recordings_state_check check (state in
  ('starting','recording','paused','stopping','uploading','completed','absent','failed'));
alter table recording_gaps drop constraint recording_gaps_reason_check;
alter table recording_gaps add constraint recording_gaps_reason_check check (reason in
  ('paused','interrupted','node_died','moved','stalled'));
update recording_parts set state = 'stored' where state = 'failed' and storage_key is not null;
`);
}
