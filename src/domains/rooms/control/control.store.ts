/** The SQL of room control: what was seen is merged into a row only while it is still about the same channel. */
import type { Queryable, Trx } from '../../../infra/stores/db';
import type { ParticipantRow } from '../participants/participants.store';
import type { SessionRow } from '../sessions/sessions.store';
import type { SeenParticipant, SeenSession, DesiredName, DesiredValue } from './desired-state';

/** @returns the row as it is now; undefined where the channel is nobody's who is in the session. */
export async function mergeSeen(
  db: Queryable,
  sessionId: string,
  legId: string,
  seen: Partial<SeenParticipant>,
): Promise<ParticipantRow | undefined> {
  const rows = (await db('participants')
    .where({ session_id: sessionId, leg_id: legId, state: 'in' })
    .update({ observed: db.raw('observed || ?::jsonb', [JSON.stringify(seen)]) })
    .returning('*')) as ParticipantRow[];
  return rows[0];
}

/** The same for many. @returns the legs of those of whom it was kept */
export async function mergeSeenOf(
  db: Queryable,
  rows: readonly { session_id: string; leg_id: string; seen: Partial<SeenParticipant> }[],
): Promise<ReadonlySet<string>> {
  if (rows.length === 0) return new Set();
  const result = await db.raw<{ rows: { leg_id: string }[] }>(
    `update participants p set observed = p.observed || w.seen
     from json_to_recordset(?::json) as w(session_id uuid, leg_id uuid, seen jsonb)
     where p.leg_id = w.leg_id and p.session_id = w.session_id and p.state = 'in'
     returning p.leg_id`,
    [JSON.stringify(rows)],
  );
  return new Set(result.rows.map((row) => row.leg_id));
}

/** From a listing that was asked for after `before` was read: an event that came meanwhile knows better. */
export async function mergeListed(
  db: Queryable,
  before: ParticipantRow,
  seen: Partial<SeenParticipant>,
): Promise<boolean> {
  const count = await db('participants')
    .where({ id: before.id, leg_id: before.leg_id, state: 'in' })
    .whereRaw('observed = ?::jsonb', [JSON.stringify(before.observed)])
    .update({ observed: db.raw('observed || ?::jsonb', [JSON.stringify(seen)]) });
  return count > 0;
}

export async function mergeSeenSession(
  db: Queryable,
  sessionId: string,
  seen: Partial<SeenSession>,
): Promise<SessionRow | undefined> {
  const rows = (await db('sessions')
    .where({ id: sessionId })
    .whereNot('state', 'ended')
    .update({ observed: db.raw('observed || ?::jsonb', [JSON.stringify(seen)]) })
    .returning('*')) as SessionRow[];
  return rows[0];
}

/** As mergeListed(), of the session. */
export async function mergeListedSession(
  db: Queryable,
  before: SessionRow,
  seen: Partial<SeenSession>,
): Promise<boolean> {
  const count = await db('sessions')
    .where({ id: before.id })
    .whereNot('state', 'ended')
    .whereRaw('observed = ?::jsonb', [JSON.stringify(before.observed)])
    .update({ observed: db.raw('observed || ?::jsonb', [JSON.stringify(seen)]) });
  return count > 0;
}

/** @returns true where it was not given up before. `id` is a participant's or a session's. */
export async function markFailed(
  trx: Trx,
  table: 'participants' | 'sessions',
  id: string,
  what: DesiredName,
  wanted: DesiredValue,
): Promise<boolean> {
  const value = JSON.stringify(wanted);
  const count = await trx(table)
    .where({ id })
    .whereRaw(`(observed->'failed'->?) is distinct from ?::jsonb`, [what, value])
    .update({
      observed: trx.raw(
        `observed || jsonb_build_object('failed', coalesce(observed->'failed', '{}') || jsonb_build_object(?::text, ?::jsonb))`,
        [what, value],
      ),
    });
  return count > 0;
}

/** Lets desired changes be tried again: they were asked for anew. */
export async function forgetFailed(
  db: Queryable,
  table: 'participants' | 'sessions',
  id: string,
  whats: readonly DesiredName[],
): Promise<void> {
  await db(table)
    .where({ id })
    .whereRaw(`jsonb_exists(observed, 'failed')`)
    .update({
      observed: db.raw(`jsonb_set(observed, '{failed}', (observed->'failed') - ?::text[])`, [[...whats]]),
    });
}

/** Who is in, on the way in, or awaited since the meeting moved here from another node; in the order of their coming. */
export async function listPresent(
  db: Queryable,
  session: { sessionId: string; meetingId: string },
): Promise<ParticipantRow[]> {
  return (await db('participants')
    .where((q) => q.where({ session_id: session.sessionId }).whereIn('state', ['joining', 'in']))
    .orWhere({ meeting_id: session.meetingId, state: 'away' })
    .orderBy('id')) as ParticipantRow[];
}

/** Who is in the living rooms of a node, with everything that is desired for them. */
export async function listPeopleOfSessions(db: Queryable, sessionIds: readonly string[]): Promise<ParticipantRow[]> {
  if (sessionIds.length === 0) return [];
  return (await db('participants').whereIn('session_id', sessionIds).where({ state: 'in' })) as ParticipantRow[];
}

/** Who has these numbers in their sessions. */
export async function findByMembers(
  db: Queryable,
  wanted: readonly { session_id: string; member_id: number }[],
): Promise<{ id: string; session_id: string; member_id: number }[]> {
  if (wanted.length === 0) return [];
  const result = await db.raw<{ rows: { id: string; session_id: string; member_id: number }[] }>(
    `select p.id, p.session_id, p.member_id from json_to_recordset(?::json) as w(session_id uuid, member_id int)
     join participants p on p.session_id = w.session_id and p.member_id = w.member_id`,
    [JSON.stringify(wanted)],
  );
  return result.rows;
}

/** Mutes everybody who is no moderator and is not to be muted yet. @returns those who are muted by this. */
export async function muteListeners(
  trx: Trx,
  session: { sessionId: string; meetingId: string },
): Promise<ParticipantRow[]> {
  return (await trx('participants')
    .where({ role: 'participant', muted: false })
    .where((of) =>
      of
        .where((q) => q.where({ session_id: session.sessionId }).whereIn('state', ['joining', 'in']))
        .orWhere({ meeting_id: session.meetingId, state: 'away' }),
    )
    .update({ muted: true })
    .returning('*')) as ParticipantRow[];
}

/**
 * A place is one person's: whoever else has it gives it up, and the node takes it from them for who gets it. Two who were
 * left with it would take it from each other again and again.
 * @returns those who had it
 */
export async function vacatePlace(
  trx: Trx,
  keeper: ParticipantRow,
  what: 'layer' | 'reservation',
  place: number | string,
): Promise<ParticipantRow[]> {
  return (await trx('participants')
    .where({ [what]: place })
    .whereNot({ id: keeper.id })
    .where((of) =>
      of
        .where((q) => q.where({ session_id: keeper.session_id }).whereIn('state', ['joining', 'in']))
        .orWhere({ meeting_id: keeper.meeting_id, state: 'away' }),
    )
    .update({ [what]: null, observed: trx.raw('observed || ?::jsonb', [JSON.stringify({ [what]: null })]) })
    .returning('*')) as ParticipantRow[];
}

/** Raises a hand that is down, or lowers one that is up. @returns the row where that changed something. */
export async function moveHand(
  trx: Trx,
  participantId: string,
  raisedAt: Date | null,
): Promise<ParticipantRow | undefined> {
  const query = trx('participants').where({ id: participantId });
  if (raisedAt) void query.whereNull('hand_raised_at').whereIn('state', ['joining', 'in']);
  else void query.whereNotNull('hand_raised_at');
  const rows = (await query.update({ hand_raised_at: raisedAt }).returning('*')) as ParticipantRow[];
  return rows[0];
}

/** The name of a node, for people. */
export async function findNodeName(db: Queryable, nodeId: string | null): Promise<string | null> {
  if (!nodeId) return null;
  const row = (await db('nodes').where({ id: nodeId }).first('name')) as { name: string } | undefined;
  return row?.name ?? null;
}

export async function saveQuality(
  db: Queryable,
  participantId: string,
  legId: string,
  quality: Record<string, unknown>,
): Promise<void> {
  await db('participants')
    .where({ id: participantId, leg_id: legId, state: 'in' })
    .update({ quality: JSON.stringify(quality) });
}
