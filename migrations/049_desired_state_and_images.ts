/** Images of rooms and what a node did not do as desired, under the words of the API; events that are kept are told under their new type. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table room_pictures rename to room_images;
alter table room_images rename constraint room_pictures_one to room_images_one;
alter index room_pictures_pkey rename to room_images_pkey;
alter table session_pictures rename to session_images;
alter table session_images rename column picture_id to image_id;
alter index session_pictures_pkey rename to session_images_pkey;
update participants set observed = (observed - 'givenUp') || jsonb_build_object('failed', observed->'givenUp')
 where jsonb_exists(observed, 'givenUp');
update sessions set observed = (observed - 'givenUp') || jsonb_build_object('failed', observed->'givenUp')
 where jsonb_exists(observed, 'givenUp');
update events set type = case when jsonb_exists(data, 'participantId') then 'participant.change_failed'
                              when jsonb_exists(data, 'recordingId') then 'recording.change_failed'
                              else 'session.change_failed' end
 where type = 'wish.given_up';
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
update events set type = 'wish.given_up' where type in ('participant.change_failed', 'recording.change_failed', 'session.change_failed');
update sessions set observed = (observed - 'failed') || jsonb_build_object('givenUp', observed->'failed')
 where jsonb_exists(observed, 'failed');
update participants set observed = (observed - 'failed') || jsonb_build_object('givenUp', observed->'failed')
 where jsonb_exists(observed, 'failed');
alter index session_images_pkey rename to session_pictures_pkey;
alter table session_images rename column image_id to picture_id;
alter table session_images rename to session_pictures;
alter index room_images_pkey rename to room_pictures_pkey;
alter table room_images rename constraint room_images_one to room_pictures_one;
alter table room_images rename to room_pictures;
`);
}
