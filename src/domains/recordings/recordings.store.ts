/** The SQL of recordings and of their gaps: what was asked for, what is true of it, and when nothing was recorded. */
import type { Queryable, Trx } from '../../infra/stores/db';

export type RecordingFormat = 'mp4' | 'wav';
export type DesiredRecordingState = 'recording' | 'paused' | 'stopped';
export type RecordingState =
  'starting' | 'recording' | 'interrupted' | 'paused' | 'stopping' | 'uploading' | 'completed' | 'absent' | 'failed';
export type GapReason = 'paused' | 'interrupted' | 'node_died' | 'moved' | 'stalled' | 'held';
/** Those in which something should have been recorded, and no part was there for it. */
export const BREAKS: readonly GapReason[] = ['interrupted', 'node_died', 'moved'];

export interface RecordingRow {
  id: string;
  domain_id: string;
  domain_name: string;
  kind: 'room' | 'call';
  room_id: string | null;
  /** A room's recording follows its meeting from node to node. */
  meeting_id: string | null;
  call_id: string | null;
  leg_id: string | null;
  format: RecordingFormat;
  origin: 'api' | 'room';
  desired: DesiredRecordingState;
  state: RecordingState;
  /** Why it ended, or why it failed. */
  reason: string | null;
  /** Of starting the part that should run now. */
  tries: number;
  next_try_at: Date | null;
  created_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
  completed_at: Date | null;
  keep_days: number | null;
  expires_at: Date | null;
  deleted_at: Date | null;
  metadata: Record<string, string>;
}

export interface GapRow {
  id: string;
  recording_id: string;
  reason: GapReason;
  from_at: Date;
  /** null while it goes on. */
  to_at: Date | null;
}

export type NewRecording = Partial<Omit<RecordingRow, 'domain_name'>> & { id: string };

const selectRecordings = (db: Queryable) =>
  db('recordings as r').join('domains as d', 'd.id', 'r.domain_id').select('r.*', 'd.name as domain_name');

/** @throws a unique violation where one of the room or call runs already. */
export async function insertRecording(db: Queryable, row: NewRecording): Promise<void> {
  await db('recordings').insert(row);
}

export async function findRecording(db: Queryable, id: string): Promise<RecordingRow | undefined> {
  return (await selectRecordings(db).where('r.id', id).first()) as RecordingRow | undefined;
}

/** Holds the recording until the transaction ends: its parts and gaps are changed by its holder only. */
export async function lockRecording(trx: Trx, id: string): Promise<RecordingRow | undefined> {
  const row = (await trx('recordings').where({ id }).forUpdate().first('id')) as { id: string } | undefined;
  return row ? findRecording(trx, id) : undefined;
}

/** The one of a room or call that is not stopped yet. */
export async function findRunning(
  db: Queryable,
  of: { roomId: string } | { callId: string },
): Promise<RecordingRow | undefined> {
  const where = 'roomId' in of ? { 'r.room_id': of.roomId } : { 'r.call_id': of.callId };
  return (await selectRecordings(db).where(where).whereNot('r.desired', 'stopped').first()) as RecordingRow | undefined;
}

/** Domains of which something is recorded now. */
export async function listRecordingDomains(db: Queryable): Promise<string[]> {
  return (await db('recordings').whereNot('desired', 'stopped').distinct().pluck('domain_id')) as string[];
}

export async function listRunningOfDomain(db: Queryable, domainId: string): Promise<string[]> {
  return (await db('recordings').where({ domain_id: domainId }).whereNot('desired', 'stopped').pluck('id')) as string[];
}

/** Whether this meeting's room was recorded of its own accord before: it is started once, and not again when stopped. */
export async function hasRecordingOfMeeting(db: Queryable, meetingId: string): Promise<boolean> {
  return (await db('recordings').where({ meeting_id: meetingId, origin: 'room' }).first('id')) !== undefined;
}

export interface RecordingFilter {
  domainId?: string;
  roomId?: string;
  callId?: string;
  state?: RecordingState;
  before?: string;
  limit: number;
}

/** The newest first, without those that were deleted. */
export async function listRecordingRows(db: Queryable, filter: RecordingFilter): Promise<RecordingRow[]> {
  const query = selectRecordings(db).whereNull('r.deleted_at').orderBy('r.id', 'desc').limit(filter.limit);
  if (filter.domainId) void query.where('r.domain_id', filter.domainId);
  if (filter.roomId) void query.where('r.room_id', filter.roomId);
  if (filter.callId) void query.where('r.call_id', filter.callId);
  if (filter.state) void query.where('r.state', filter.state);
  if (filter.before) void query.where('r.id', '<', filter.before);
  return (await query) as RecordingRow[];
}

/** @param expected the desired changes it may have now @returns whether it was changed */
export async function updateRecording(
  db: Queryable,
  id: string,
  expected: readonly DesiredRecordingState[],
  change: Partial<RecordingRow>,
): Promise<boolean> {
  return (await db('recordings').where({ id }).whereIn('desired', expected).update(change)) > 0;
}

/** Takes what is due, for one replica: it is due again at `until`, unless something else is written before. */
export async function takeDueRecordings(db: Queryable, now: Date, until: Date, limit: number): Promise<string[]> {
  const rows = (await db('recordings')
    .whereIn('id', (q) =>
      q.from('recordings').select('id').where('next_try_at', '<=', now).limit(limit).forUpdate().skipLocked(),
    )
    .update({ next_try_at: until })
    .returning('id')) as { id: string }[];
  return rows.map((row) => row.id);
}

export async function countRecordings(
  db: Queryable,
  states: readonly RecordingState[],
): Promise<Map<RecordingState, number>> {
  const rows = (await db('recordings')
    .whereIn('state', states)
    .whereNull('deleted_at')
    .groupBy('state')
    .select('state', db.raw('count(*)::int as count'))) as { state: RecordingState; count: number }[];
  return new Map(rows.map(({ state, count }) => [state, count]));
}

export async function listExpired(db: Queryable, now: Date, limit: number): Promise<string[]> {
  const rows = (await db('recordings')
    .where('expires_at', '<=', now)
    .whereNull('deleted_at')
    .whereIn('state', ['completed', 'absent', 'failed'])
    .limit(limit)
    .select('id')) as { id: string }[];
  return rows.map((row) => row.id);
}

export async function listGaps(db: Queryable, recordingIds: readonly string[]): Promise<GapRow[]> {
  return (await db('recording_gaps').whereIn('recording_id', recordingIds).orderBy(['from_at', 'id'])) as GapRow[];
}

export async function insertGap(db: Queryable, row: Omit<GapRow, 'to_at'>): Promise<void> {
  await db('recording_gaps').insert(row);
}

/** Ends what is open at `at`; one that would end before it began has length nothing. */
export async function closeGaps(
  db: Queryable,
  recordingId: string,
  at: Date,
  reasons?: readonly GapReason[],
): Promise<void> {
  const query = db('recording_gaps').where({ recording_id: recordingId }).whereNull('to_at');
  if (reasons) void query.whereIn('reason', reasons);
  await query.update({ to_at: db.raw('greatest(from_at, ?::timestamptz)', [at]) });
}

/** A file reaches further than was known: what was taken for a gap begins where it ends. */
export async function shortenGaps(db: Queryable, recordingId: string, fileEnds: Date): Promise<void> {
  await db('recording_gaps')
    .where({ recording_id: recordingId })
    .whereIn('reason', BREAKS)
    .where('from_at', '<', fileEnds)
    .where((w) => w.whereNull('to_at').orWhere('to_at', '>', fileEnds))
    .update({ from_at: fileEnds });
}

/** Takes away what turned out to be no gap: the end. */
export async function dropOpenGaps(db: Queryable, recordingId: string, reasons: readonly GapReason[]): Promise<void> {
  await db('recording_gaps')
    .where({ recording_id: recordingId })
    .whereNull('to_at')
    .whereIn('reason', reasons)
    .delete();
}

/** Files whose rows are gone with their domain; each is due again at `until`. */
export async function takeLeftovers(
  db: Queryable,
  now: Date,
  until: Date,
  limit: number,
): Promise<{ id: string; storage_key: string }[]> {
  return (await db('recording_leftovers')
    .whereIn('id', (q) =>
      q.from('recording_leftovers').select('id').where('next_try_at', '<=', now).limit(limit).forUpdate().skipLocked(),
    )
    .update({ next_try_at: until })
    .returning(['id', 'storage_key'])) as { id: string; storage_key: string }[];
}

export async function insertLeftover(db: Queryable, storageKey: string): Promise<void> {
  await db('recording_leftovers').insert({ storage_key: storageKey });
}

export async function deleteLeftover(db: Queryable, id: string): Promise<void> {
  await db('recording_leftovers').where({ id }).delete();
}
