/** The SQL of sessions and leases: who owns a room now is decided here, by compare-and-set, and nowhere else. */
import type { Queryable, Trx } from '../../../infra/stores/db';

export type SessionState = 'opening' | 'live' | 'ended';
export const SESSION_ENDS = [
  'empty',
  'never_entered',
  'moved',
  'node_died',
  'closed',
  'moderator_left',
  'superseded',
  'lost',
] as const;
export type SessionEnd = (typeof SESSION_ENDS)[number];

/** What a node was last seen to do with the session, beside its participants. */
export interface SessionObserved {
  layout?: string;
  locked?: boolean;
}

/** One life of a room on one node. Its id is what the node calls the conference. */
export interface SessionRow {
  id: string;
  room_id: string;
  domain_id: string;
  node_id: string | null;
  /** A bigint, as text. Every new owner of the room has a higher one. */
  epoch: string;
  /** The first session of a room that then moved from node to node. */
  meeting_id: string;
  state: SessionState;
  conference_uuid: string | null;
  units: string;
  /** The room's settings as they were when the session was opened. */
  settings: Record<string, unknown>;
  /** Desired; null: as the room's settings say. */
  layout: string | null;
  locked: boolean;
  floor_participant_id: string | null;
  video_floor_participant_id: string | null;
  observed: SessionObserved;
  opened_at: Date;
  /** An opening session nobody enters ends at this time. */
  open_until: Date | null;
  started_at: Date | null;
  ended_at: Date | null;
  end_reason: SessionEnd | null;
}

export interface LeaseRow {
  room_id: string;
  node_id: string | null;
  session_id: string | null;
  epoch: string;
  taken_at: Date | null;
}

/** Holds the room's lease until the transaction ends; makes the row where it is missing. */
export async function lockLease(trx: Trx, roomId: string): Promise<LeaseRow> {
  await trx('leases').insert({ room_id: roomId }).onConflict('room_id').ignore();
  return (await trx('leases').where({ room_id: roomId }).forUpdate().first()) as LeaseRow;
}

/** @returns whether the lease still had that epoch, and is now the new owner's with the next one. */
export async function takeLease(
  trx: Trx,
  lease: LeaseRow,
  owner: { nodeId: string; sessionId: string; at: Date },
): Promise<boolean> {
  const count = await trx('leases')
    .where({ room_id: lease.room_id, epoch: lease.epoch })
    .update({
      node_id: owner.nodeId,
      session_id: owner.sessionId,
      epoch: String(BigInt(lease.epoch) + 1n),
      taken_at: owner.at,
    });
  return count > 0;
}

/** Clears the lease, where this session owns it. */
export async function clearLease(trx: Queryable, sessionId: string): Promise<boolean> {
  return (await trx('leases').where({ session_id: sessionId }).update({ node_id: null, session_id: null })) > 0;
}

export async function insertSession(
  trx: Queryable,
  row: Partial<SessionRow> & { id: string; room_id: string },
): Promise<SessionRow> {
  const rows = (await trx('sessions').insert(row).returning('*')) as SessionRow[];
  return rows[0]!;
}

export async function findSession(db: Queryable, id: string): Promise<SessionRow | undefined> {
  return (await db('sessions').where({ id }).first()) as SessionRow | undefined;
}

/** The room's session that is not over. */
export async function findLivingSession(db: Queryable, roomId: string): Promise<SessionRow | undefined> {
  return (await db('sessions').where({ room_id: roomId }).whereNot('state', 'ended').first()) as SessionRow | undefined;
}

/** The session, where it is not over, runs on this node, and still holds its room's lease. */
export async function findOwnedSession(db: Queryable, id: string, nodeId: string): Promise<SessionRow | undefined> {
  return (await db('sessions as s')
    .join('leases as l', (on) => on.on('l.room_id', 's.room_id').andOn('l.session_id', 's.id'))
    .where({ 's.id': id, 's.node_id': nodeId, 'l.node_id': nodeId })
    .whereNot('s.state', 'ended')
    .first('s.*')) as SessionRow | undefined;
}

export async function lockSession(trx: Trx, id: string): Promise<SessionRow | undefined> {
  return (await trx('sessions').where({ id }).forUpdate().first()) as SessionRow | undefined;
}

/** The sessions that are not over: all, or one node's. */
export async function listLivingSessions(db: Queryable, nodeId?: string): Promise<SessionRow[]> {
  const query = db('sessions').whereNot('state', 'ended').orderBy('id');
  if (nodeId) void query.where('node_id', nodeId);
  return (await query) as SessionRow[];
}

export async function listSessionRows(
  db: Queryable,
  filter: { roomId: string; before?: string; limit: number },
): Promise<SessionRow[]> {
  const query = db('sessions').where('room_id', filter.roomId).orderBy('id', 'desc').limit(filter.limit);
  if (filter.before) void query.where('id', '<', filter.before);
  return (await query) as SessionRow[];
}

/** @returns the row as it is now, or undefined where the session was in none of `expected`. */
export async function updateSession(
  db: Queryable,
  id: string,
  expected: readonly SessionState[],
  change: Partial<SessionRow>,
): Promise<SessionRow | undefined> {
  const rows = (await db('sessions')
    .where({ id })
    .whereIn('state', expected)
    .update({ ...change, ...(change.observed ? { observed: JSON.stringify(change.observed) } : {}) })
    .returning('*')) as SessionRow[];
  return rows[0];
}

/** Clears leases whose session is over or not there. @returns the rooms they were of */
export async function clearIdleLeases(db: Queryable): Promise<string[]> {
  const living = db('sessions').whereRaw('sessions.id = leases.session_id').whereNot('state', 'ended').select('id');
  const rows = (await db('leases')
    .whereNotNull('session_id')
    .whereNotExists(living)
    .update({ node_id: null, session_id: null })
    .returning('room_id')) as { room_id: string }[];
  return rows.map((row) => row.room_id);
}

/** Living sessions whose room is held by another one, or by none. */
export async function listWithoutLease(db: Queryable): Promise<SessionRow[]> {
  const own = db('leases').whereRaw('leases.session_id = sessions.id').select('room_id');
  return (await db('sessions').whereNot('state', 'ended').whereNotExists(own)) as SessionRow[];
}
