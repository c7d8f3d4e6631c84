/** The SQL by which many calls are read and written at once: a handful of statements, however many calls there are. */
import type { Queryable, Trx } from '../../../infra/stores/db';
import type { AttemptRow, CallRow, LegRow } from '../calls.store';
import type { CallChanges, LoadedCalls } from './call-draft';

/** Something was changed by somebody who did not hold the call's lock: read again, and reduced again. */
export class ChangedMeanwhile extends Error {
  override name = 'ChangedMeanwhile';
}

/**
 * Locks the calls of these ids, and those that the legs belong to, in the order of their ids, so that two who lock can't
 * wait for each other. The names are read beside the rows and not joined: a join would be looked at before the lock was
 * waited for.
 * @throws ChangedMeanwhile where a leg has gone over to another call while the lock was waited for
 */
export async function loadCalls(
  trx: Trx,
  ids: { callIds: readonly string[]; legIds: readonly string[] },
): Promise<LoadedCalls> {
  const { rows: calls } = await trx.raw<{ rows: CallRow[] }>(
    `select c.*, (select name from domains where id = c.domain_id) as domain_name,
            (select name from nodes where id = c.node_id) as node_name
     from calls c
     where c.id = any(array(select call_id from legs where id = any(:legIds::uuid[])) || :callIds::uuid[])
     order by c.id for no key update of c`,
    { callIds: ids.callIds, legIds: ids.legIds },
  );
  if (calls.length === 0) return { calls, legs: [], attempts: [] };
  const callIds = calls.map((call) => call.id);
  // In a statement of its own: what the one that locked has read beside may be from before it had the lock.
  const { rows } = await trx.raw<{ rows: { legs: LegRow[]; attempts: AttemptRow[] }[] }>(
    `select (select coalesce(json_agg(l order by l.created_at), '[]') from legs l
             where l.call_id = any(:callIds::uuid[]) or l.id = any(:legIds::uuid[])) as legs,
            (select coalesce(json_agg(a order by a.call_id, a.number), '[]') from call_attempts a
             where a.call_id = any(:callIds::uuid[])) as attempts`,
    { callIds, legIds: ids.legIds },
  );
  const { legs, attempts } = rows[0]!;
  for (const leg of legs) readInstants(leg, LEG_INSTANTS);
  for (const attempt of attempts) readInstants(attempt, ATTEMPT_INSTANTS);
  const locked = new Set(callIds);
  if (legs.some((leg) => !locked.has(leg.call_id))) throw new ChangedMeanwhile('a leg is of another call by now');
  return { calls, legs, attempts };
}

const LEG_INSTANTS: readonly (keyof LegRow)[] = ['created_at', 'ringing_at', 'answered_at', 'ended_at', 'held_since'];
const ATTEMPT_INSTANTS: readonly (keyof AttemptRow)[] = ['placed_at', 'rang_at', 'ended_at'];

/** Many rows are read faster as JSON, which has texts for instants. */
function readInstants<T extends object>(row: T, columns: readonly (keyof T)[]): void {
  for (const column of columns) {
    if (row[column] !== null) row[column] = new Date(row[column] as string) as T[keyof T];
  }
}

export interface PhoneOfCall {
  call_id: string;
  node_id: string;
  is_dead: boolean;
}

/** Where the phones of those who call are registered, at nodes that may be asked: of many calls at once. */
export async function listCallersPhones(
  db: Queryable,
  callers: readonly { call_id: string; domain_id: string; username: string }[],
  now: Date,
): Promise<PhoneOfCall[]> {
  const { rows } = await db.raw<{ rows: PhoneOfCall[] }>(
    `select q.call_id, r.node_id, r.unreachable_at is not null as is_dead
     from json_to_recordset(:callers::json) as q(call_id uuid, domain_id uuid, username text)
     join users u on u.domain_id = q.domain_id and u.username = q.username
     join registrations r on r.user_id = u.id
     join nodes n on n.id = r.node_id
     where n.state not in ('down', 'pending') and r.expires_at > :now::timestamptz`,
    { callers: JSON.stringify(callers), now },
  );
  return rows;
}

const CALL_COLUMNS: readonly (keyof CallRow)[] = [
  'state',
  'outcome',
  'node_id',
  'hangup_cause',
  'to_address',
  'place_before',
  'hangup_requested_at',
  'hangup_reason',
  'ringing_at',
  'answered_at',
  'ended_at',
  'talk_seconds',
  'joined_into',
];
const ATTEMPT_COLUMNS: readonly (keyof AttemptRow)[] = [
  'leg_id',
  'first_leg_id',
  'node_id',
  'node_name',
  'node_core_uuid',
  'rang_at',
  'ended_at',
  'result',
  'hangup_cause',
];
const LEG_COLUMNS: readonly (keyof LegRow)[] = [
  'call_id',
  'state',
  'ringing_at',
  'answered_at',
  'ended_at',
  'hangup_cause',
  'held_since',
];

const assign = (columns: readonly string[]): string => columns.map((column) => `${column} = x.${column}`).join(', ');

const NEW_LEG_COLUMNS = ['id', 'node_id', 'role', 'address', 'created_at', ...LEG_COLUMNS];

/** All changes of a batch, and how many rows they have found. */
const SAVE = `with added as (
    insert into legs (${NEW_LEG_COLUMNS.join(', ')})
    select ${NEW_LEG_COLUMNS.join(', ')}
    from json_to_recordset(:newLegs::json) as x(id uuid, node_id uuid, role text, address text, created_at timestamptz,
      call_id uuid, state text, ringing_at timestamptz, answered_at timestamptz, ended_at timestamptz,
      hangup_cause text, held_since timestamptz)
    on conflict (id) do nothing returning 1),
  changed_legs as (
    update legs l set ${assign(LEG_COLUMNS)}
    from json_to_recordset(:legs::json) as x(id uuid, was text, call_id uuid, state text, ringing_at timestamptz,
      answered_at timestamptz, ended_at timestamptz, hangup_cause text, held_since timestamptz)
    where l.id = x.id and l.state = x.was returning 1),
  changed_attempts as (
    update call_attempts a set ${assign(ATTEMPT_COLUMNS)}
    from json_to_recordset(:attempts::json) as x(call_id uuid, number integer, was_leg_id uuid, was_core text, leg_id uuid,
      first_leg_id uuid, node_id uuid, node_name text, node_core_uuid text, rang_at timestamptz, ended_at timestamptz,
      result text, hangup_cause text)
    where a.call_id = x.call_id and a.number = x.number and a.leg_id = x.was_leg_id
      and a.node_core_uuid is not distinct from x.was_core returning 1),
  changed_calls as (
    update calls c set ${assign(CALL_COLUMNS)}
    from json_to_recordset(:calls::json) as x(id uuid, was text, state text, outcome text, node_id uuid,
      hangup_cause text, to_address text, place_before timestamptz, hangup_requested_at timestamptz, hangup_reason text,
      ringing_at timestamptz, answered_at timestamptz, ended_at timestamptz, talk_seconds numeric, joined_into uuid)
    where c.id = x.id and c.state = x.was returning 1)
  select (select count(*) from added) + (select count(*) from changed_legs) + (select count(*) from changed_attempts)
    + (select count(*) from changed_calls) as found`;

/** @throws ChangedMeanwhile where a row is not any more as it was read */
export async function saveCalls(trx: Trx, changes: CallChanges): Promise<void> {
  const { calls, newLegs, legs, attempts } = changes;
  const count = calls.length + newLegs.length + legs.length + attempts.length;
  if (count === 0) return;
  const { rows } = await trx.raw<{ rows: { found: string }[] }>(SAVE, {
    calls: write(calls, ['id', 'was', ...CALL_COLUMNS]),
    newLegs: write(newLegs, NEW_LEG_COLUMNS as (keyof LegRow)[]),
    legs: write(legs, ['id', 'was', ...LEG_COLUMNS]),
    attempts: write(attempts, ['call_id', 'number', 'was_leg_id', 'was_core', ...ATTEMPT_COLUMNS]),
  });
  if (Number(rows[0]!.found) !== count) throw new ChangedMeanwhile('a row is not as it was read');
}

/** Only what is written: a row has more, and all of it would go over the wire. */
function write<T extends object>(rows: readonly T[], columns: readonly (keyof T)[]): string {
  return JSON.stringify(
    rows.map((row) => {
      const kept: Partial<T> = {};
      for (const column of columns) kept[column] = row[column];
      return kept;
    }),
  );
}
