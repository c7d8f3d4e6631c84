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
  const { rows: legs } = await trx.raw<{ rows: LegRow[] }>(
    `select * from legs where call_id = any(:callIds::uuid[]) or id = any(:legIds::uuid[]) order by created_at`,
    { callIds, legIds: ids.legIds },
  );
  const locked = new Set(callIds);
  if (legs.some((leg) => !locked.has(leg.call_id))) throw new ChangedMeanwhile('a leg is of another call by now');
  const { rows: attempts } = await trx.raw<{ rows: AttemptRow[] }>(
    'select * from call_attempts where call_id = any(:callIds::uuid[]) order by call_id, number',
    { callIds },
  );
  return { calls, legs, attempts };
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
/** Only what is written: a row has more, and all of it would go over the wire. */
const write = (rows: readonly object[], columns: readonly string[]): string => JSON.stringify(rows, [...columns]);

const CALL_KEYS = ['id', 'was', ...CALL_COLUMNS];
const UPDATE_CALLS = `update calls c set ${assign(CALL_COLUMNS)}
  from json_to_recordset(?::json) as x(id uuid, was text, state text, outcome text, node_id uuid, hangup_cause text,
    to_address text, place_before timestamptz, hangup_requested_at timestamptz, hangup_reason text,
    ringing_at timestamptz, answered_at timestamptz, ended_at timestamptz, talk_seconds numeric, joined_into uuid)
  where c.id = x.id and c.state = x.was`;

const ATTEMPT_KEYS = ['call_id', 'number', 'was_leg_id', 'was_core', ...ATTEMPT_COLUMNS];
const UPDATE_ATTEMPTS = `update call_attempts a set ${assign(ATTEMPT_COLUMNS)}
  from json_to_recordset(?::json) as x(call_id uuid, number integer, was_leg_id uuid, was_core text, leg_id uuid, first_leg_id uuid, node_id uuid,
    node_name text, node_core_uuid text, rang_at timestamptz, ended_at timestamptz, result text, hangup_cause text)
  where a.call_id = x.call_id and a.number = x.number and a.leg_id = x.was_leg_id
    and a.node_core_uuid is not distinct from x.was_core`;

const LEG_KEYS = ['id', 'was', ...LEG_COLUMNS];
const UPDATE_LEGS = `update legs l set ${assign(LEG_COLUMNS)}
  from json_to_recordset(?::json) as x(id uuid, was text, call_id uuid, state text, ringing_at timestamptz,
    answered_at timestamptz, ended_at timestamptz, hangup_cause text, held_since timestamptz)
  where l.id = x.id and l.state = x.was`;

const NEW_LEG_KEYS = ['id', 'node_id', 'role', 'address', 'created_at', ...LEG_COLUMNS];
const INSERT_LEGS = `insert into legs (${NEW_LEG_KEYS.join(', ')})
  select ${NEW_LEG_KEYS.join(', ')}
  from json_to_recordset(?::json) as x(id uuid, node_id uuid, role text, address text, created_at timestamptz,
    call_id uuid, state text, ringing_at timestamptz, answered_at timestamptz, ended_at timestamptz,
    hangup_cause text, held_since timestamptz)
  on conflict (id) do nothing`;

/** @throws ChangedMeanwhile where a row is not any more as it was read */
export async function saveCalls(trx: Trx, changes: CallChanges): Promise<void> {
  await save(trx, INSERT_LEGS, changes.newLegs, NEW_LEG_KEYS);
  await save(trx, UPDATE_LEGS, changes.legs, LEG_KEYS);
  await save(trx, UPDATE_ATTEMPTS, changes.attempts, ATTEMPT_KEYS);
  await save(trx, UPDATE_CALLS, changes.calls, CALL_KEYS);
}

async function save(trx: Trx, sql: string, rows: readonly object[], columns: readonly string[]): Promise<void> {
  if (rows.length === 0) return;
  const { rowCount } = await trx.raw<{ rowCount: number }>(sql, [write(rows, columns)]);
  if (rowCount !== rows.length) throw new ChangedMeanwhile('a row is not as it was read');
}
