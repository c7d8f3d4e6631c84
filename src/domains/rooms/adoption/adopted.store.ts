/** The SQL by which a session that is over, or whose row was lost, comes to life again, and what forbids it. */
import type { Queryable, Trx } from '../../../infra/stores/db';
import type { ParticipantRow } from '../participants/participants.store';
import type { SessionRow } from '../sessions/sessions.store';

export async function hasDomain(db: Queryable, id: string): Promise<boolean> {
  return (await db('domains').where({ id }).first('id')) !== undefined;
}

/** Whether a room or session of these was deleted. */
export async function isGone(db: Queryable, ids: readonly string[]): Promise<boolean> {
  return (await db('gone_rooms').whereIn('id', ids).first('id')) !== undefined;
}

/** By then no channel shows a proof of it any more. */
export async function forgetGone(db: Queryable, before: Date): Promise<void> {
  await db('gone_rooms').where('deleted_at', '<', before).delete();
}

/** Whether the grant was revoked, or the user disabled or deleted. */
export async function isRevoked(db: Queryable, who: Pick<ParticipantRow, 'grant_id' | 'user_id'>): Promise<boolean> {
  const grant = who.grant_id && (await db('grants').where({ id: who.grant_id }).whereNotNull('revoked_at').first('id'));
  if (grant) return true;
  return Boolean(who.user_id && (await db('ended_users').where({ user_id: who.user_id }).first('user_id')));
}

/** Whether somebody asked for the end of the call. */
export async function isHangupAsked(db: Queryable, callId: string): Promise<boolean> {
  return (await db('calls').where({ id: callId }).whereNotNull('hangup_requested_at').first('id')) !== undefined;
}

/** The row in this meeting that came by this call; the last one where there are several. */
export async function findParticipantOfCall(
  db: Queryable,
  meetingId: string,
  callId: string,
): Promise<ParticipantRow | undefined> {
  return (await db('participants')
    .where({ meeting_id: meetingId, call_id: callId })
    .orderBy('entering_at', 'desc')
    .first()) as ParticipantRow | undefined;
}

/** @returns the session as it goes on, or undefined where it was not over. */
export async function reviveSession(
  trx: Trx,
  id: string,
  change: Pick<SessionRow, 'node_id' | 'epoch' | 'units' | 'conference_uuid'>,
): Promise<SessionRow | undefined> {
  const rows = (await trx('sessions')
    .where({ id, state: 'ended' })
    .update({ ...change, state: 'live', ended_at: null, end_reason: null, open_until: null })
    .returning('*')) as SessionRow[];
  return rows[0];
}
