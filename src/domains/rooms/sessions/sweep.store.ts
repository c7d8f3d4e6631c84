/** The SQL of the rooms' sweep: a question for all rooms together, however many there are. */
import type { Queryable } from '../../../infra/stores/db';
import type { ParticipantRow } from '../participants/participants.store';
import type { SessionRow } from './sessions.store';

/** Living sessions whose node can't be asked, or is gone. */
export async function listSessionsOfGoneNodes(db: Queryable): Promise<SessionRow[]> {
  return (await db('sessions as s')
    .leftJoin('nodes as n', 'n.id', 's.node_id')
    .whereNot('s.state', 'ended')
    .where((w) => w.whereNull('n.id').orWhereIn('n.state', ['down', 'joining', 'pending']))
    .orderBy('s.id')
    .select('s.*')) as SessionRow[];
}

/** Those on the way in who will not come: their call is over, or they were let in before this. */
export async function listNeverCame(db: Queryable, enteringBefore: Date): Promise<ParticipantRow[]> {
  return (await db('participants as p')
    .join('sessions as s', 's.id', 'p.session_id')
    .leftJoin('calls as c', 'c.id', 'p.call_id')
    .where('p.state', 'joining')
    .whereNot('s.state', 'ended')
    .where((w) => w.where('c.state', 'ended').orWhere('p.entering_at', '<', enteringBefore))
    .select('p.*')) as ParticipantRow[];
}

/** Sessions that were opened for somebody who did not come in time, and for whom nobody else is on the way. */
export async function listNeverEntered(db: Queryable, now: Date): Promise<string[]> {
  const joining = db('participants').whereRaw('session_id = s.id').where('state', 'joining').select(db.raw('1'));
  return (await db('sessions as s')
    .where('s.state', 'opening')
    .where('s.open_until', '<', now)
    .whereNotExists(joining)
    .pluck('s.id')) as string[];
}

/** Sessions that moved between the two times: who has not come back by then is not awaited any more. */
export async function listMovedBetween(db: Queryable, from: Date, to: Date): Promise<string[]> {
  return (await db('sessions')
    .whereNot('state', 'ended')
    .whereRaw('meeting_id <> id')
    .whereBetween('opened_at', [from, to])
    .pluck('id')) as string[];
}

/** Telephones whose room went on elsewhere between the two times, and that are not there yet. */
export async function listAwaitedPhones(db: Queryable, movedAfter: Date, movedBefore: Date): Promise<ParticipantRow[]> {
  const living = db('sessions').whereRaw('meeting_id = p.meeting_id').whereNot('state', 'ended').select(db.raw('1'));
  return (await db('participants as p')
    .join('sessions as s', 's.id', 'p.session_id')
    .where({ 'p.state': 'away', 'p.kind': 'user', 's.end_reason': 'node_died' })
    .whereBetween('p.left_at', [movedAfter, movedBefore])
    .whereExists(living)
    .select('p.*')) as ParticipantRow[];
}

/** Sessions that are to end with their last moderator, who left before this; none is there, or on the way back. */
export async function listLeftByModerators(db: Queryable, leftBefore: Date): Promise<SessionRow[]> {
  const moderators = () =>
    db('participants').whereRaw('meeting_id = s.meeting_id').where('role', 'moderator').select(db.raw('1'));
  return (await db('sessions as s')
    .join('rooms as r', 'r.id', 's.room_id')
    .where('s.state', 'live')
    .whereRaw(`r.settings->>'endWithModerator' = 'true'`)
    .whereExists(moderators().where('state', 'left'))
    .whereNotExists(moderators().where((w) => w.whereNot('state', 'left').orWhere('left_at', '>=', leftBefore)))
    .orderBy('s.id')
    .select('s.*')) as SessionRow[];
}
