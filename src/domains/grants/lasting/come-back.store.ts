/** How long a grant is good for its holder: until it expires, and where they are in the room then, for coming back to it. */
import { COME_BACK_SECONDS, isPutOut, LEAVE_REASONS } from '../../rooms/participants/leave-reasons';

export { COME_BACK_SECONDS };
/** However long the meeting goes on: past this somebody has to want them in it again. */
export const COME_BACK_HOURS = 12;

const COMES_BACK = LEAVE_REASONS.filter((reason) => !isPutOut(reason));

/**
 * SQL: until when the grant `g` lets its holder in; its `expires_at` but for one who was in the meeting that goes on. A grant
 * that was never used to come in, was revoked, or whose holder was put out, has no more than that. Nothing in it is anybody's
 * text. (`least` leaves nulls out: without a row, there must be none.)
 */
export const GOOD_UNTIL = `coalesce((
  select greatest(g.expires_at, least(
    g.expires_at + interval '${COME_BACK_HOURS} hours',
    max(case when p.state = 'left' then p.left_at else now() end) + interval '${COME_BACK_SECONDS} seconds'))
  from participants p
  join sessions s on s.room_id = p.room_id and s.meeting_id = p.meeting_id and s.state <> 'ended'
  where g.kind = 'room' and g.expires_at <= now() and p.grant_id = g.id and p.room_id = g.room_id
    and p.joined_at is not null
    and (p.leave_reason is null or p.leave_reason in (${COMES_BACK.map((reason) => `'${reason}'`).join(',')}))
  having count(*) > 0), g.expires_at)`;
