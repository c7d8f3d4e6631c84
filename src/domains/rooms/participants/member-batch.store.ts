/** The SQL of a batch of reports of rooms: sessions and participants are loaded, held and written together. */
import type { Queryable, Trx } from '../../../infra/stores/db';
import type { SessionRow } from '../sessions/sessions.store';
import type { ParticipantRow } from './participants.store';

export async function findSessions(db: Queryable, ids: readonly string[]): Promise<SessionRow[]> {
  if (ids.length === 0) return [];
  const result = await db.raw<{ rows: SessionRow[] }>('select * from sessions where id = any(?::uuid[])', [[...ids]]);
  return result.rows;
}

export async function findParticipantsOfLegs(db: Queryable, legIds: readonly string[]): Promise<ParticipantRow[]> {
  if (legIds.length === 0) return [];
  const result = await db.raw<{ rows: ParticipantRow[] }>('select * from participants where leg_id = any(?::uuid[])', [
    [...legIds],
  ]);
  return result.rows;
}

/** Held until the transaction ends, in one order; before participants. */
export async function lockSessions(trx: Trx, ids: readonly string[]): Promise<SessionRow[]> {
  if (ids.length === 0) return [];
  const result = await trx.raw<{ rows: SessionRow[] }>(
    'select * from sessions where id = any(?::uuid[]) order by id for update',
    [[...ids]],
  );
  return result.rows;
}

/** Held until the transaction ends, in one order. */
export async function lockParticipants(trx: Trx, ids: readonly string[]): Promise<ParticipantRow[]> {
  if (ids.length === 0) return [];
  const result = await trx.raw<{ rows: ParticipantRow[] }>(
    'select * from participants where id = any(?::uuid[]) order by id for update',
    [[...ids]],
  );
  return result.rows;
}

/** Of sessions that are held: what their rooms have become. */
export async function saveLiveSessions(trx: Trx, rows: readonly SessionRow[]): Promise<void> {
  if (rows.length === 0) return;
  await trx.raw(
    `update sessions s
     set state = w.state, conference_uuid = w.conference_uuid, started_at = w.started_at, open_until = w.open_until,
         observed = w.observed
     from json_populate_recordset(null::sessions, ?::json) w where s.id = w.id`,
    [JSON.stringify(rows)],
  );
}

/** Of participants that are held: whether they are in, and by what. */
export async function saveMembers(trx: Trx, rows: readonly ParticipantRow[]): Promise<void> {
  if (rows.length === 0) return;
  await trx.raw(
    `update participants p
     set state = w.state, leg_id = w.leg_id, member_id = w.member_id, joined_at = w.joined_at, left_at = w.left_at,
         leave_reason = w.leave_reason, hand_raised_at = w.hand_raised_at, observed = w.observed
     from json_populate_recordset(null::participants, ?::json) w where p.id = w.id`,
    [JSON.stringify(rows)],
  );
}
