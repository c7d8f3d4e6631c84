/** The SQL of calls, attempts and legs. Every change of a state names the states it may come from. */
import type { Queryable } from '../../infra/stores/db';
import { shortenReport } from '../nodes/selection/placement-report';
import type { Considered } from '../nodes/selection/select-node';
import type { CallOutcome, CallState, HangupReason } from './events/outcome';

export interface CallRow {
  id: string;
  domain_id: string;
  domain_name: string;
  node_name: string | null;
  origin: 'api' | 'phone';
  from_address: string;
  to_address: string;
  caller_name: string;
  state: CallState;
  outcome: CallOutcome | null;
  node_id: string | null;
  hangup_cause: string | null;
  units: string;
  ring_timeout_seconds: number;
  place_before: Date;
  hangup_requested_at: Date | null;
  /** Why we asked for it; null: a person did. */
  hangup_reason: HangupReason | null;
  queued_at: Date;
  placing_at: Date | null;
  ringing_at: Date | null;
  answered_at: Date | null;
  ended_at: Date | null;
  talk_seconds: string | null;
  /** The call in which its people talk on, where its own has ended into that one. */
  joined_into: string | null;
  /** When it was found on a node although its row was over, or was not there. */
  adopted_at: Date | null;
  metadata: Record<string, unknown>;
}

export interface AttemptRow {
  call_id: string;
  number: number;
  node_id: string | null;
  node_name: string;
  node_core_uuid: string | null;
  /** The one that carries it, and whose end is its end. */
  leg_id: string;
  /** The one it began with, where that is another. */
  first_leg_id: string | null;
  placed_at: Date;
  rang_at: Date | null;
  ended_at: Date | null;
  result: string | null;
  hangup_cause: string | null;
}

export type LegRole = 'from' | 'to' | 'transit';

export interface LegRow {
  id: string;
  call_id: string;
  node_id: string | null;
  /** Read with it, and not stored. */
  node_name?: string | null;
  role: LegRole;
  address: string;
  state: 'placing' | 'ringing' | 'answered' | 'ended';
  created_at: Date;
  ringing_at: Date | null;
  answered_at: Date | null;
  ended_at: Date | null;
  hangup_cause: string | null;
  /** Since when its phone holds, as the node tells. */
  held_since: Date | null;
}

/** A call's own columns: what joins add is not stored. */
export type NewCall = Partial<Omit<CallRow, 'domain_name' | 'node_name'>> & { id: string };

const selectCalls = (db: Queryable) =>
  db('calls as c')
    .join('domains as d', 'd.id', 'c.domain_id')
    .leftJoin('nodes as n', 'n.id', 'c.node_id')
    .select('c.*', 'd.name as domain_name', 'n.name as node_name');

/** @returns false where the call is there already. */
export async function insertCall(db: Queryable, row: NewCall): Promise<boolean> {
  const rows = (await db('calls').insert(row).onConflict('id').ignore().returning('id')) as unknown[];
  return rows.length > 0;
}

export async function findCall(db: Queryable, id: string): Promise<CallRow | undefined> {
  return (await selectCalls(db).where('c.id', id).first()) as CallRow | undefined;
}

export async function listCallRows(
  db: Queryable,
  filter: { domainId?: string; state?: string; live?: boolean; before?: string; limit: number },
): Promise<CallRow[]> {
  const query = selectCalls(db).orderBy('c.id', 'desc').limit(filter.limit);
  if (filter.domainId) void query.where('c.domain_id', filter.domainId);
  if (filter.state) void query.where('c.state', filter.state);
  if (filter.live) void query.whereNot('c.state', 'ended');
  if (filter.before) void query.where('c.id', '<', filter.before);
  return (await query) as CallRow[];
}

export async function listLiveCallIds(db: Queryable, ids: readonly string[]): Promise<Set<string>> {
  const rows = (await db('calls').whereIn('id', ids).whereNot('state', 'ended').select('id')) as { id: string }[];
  return new Set(rows.map((row) => row.id));
}

/** The names are read beside the row and not joined: a join would be looked at before the lock was waited for. */
export async function lockCall(db: Queryable, id: string): Promise<CallRow | undefined> {
  const nameOf = (table: string, key: string) => db(table).whereRaw('id = ??', [key]).select('name');
  return (await db('calls')
    .where({ id })
    .forUpdate()
    .first(
      '*',
      nameOf('domains', 'calls.domain_id').as('domain_name'),
      nameOf('nodes', 'calls.node_id').as('node_name'),
    )) as CallRow | undefined;
}

export async function insertAttempt(db: Queryable, row: Partial<AttemptRow>): Promise<void> {
  await db('call_attempts').insert(row);
}

/** The last attempt, whether it is over or not. */
export async function findLastAttempt(db: Queryable, callId: string): Promise<AttemptRow | undefined> {
  return (await db('call_attempts').where({ call_id: callId }).orderBy('number', 'desc').first()) as
    AttemptRow | undefined;
}

export async function findAttemptOfLeg(db: Queryable, legId: string): Promise<AttemptRow | undefined> {
  return (await db('call_attempts').where({ leg_id: legId }).first()) as AttemptRow | undefined;
}

export async function listAttempts(db: Queryable, callIds: readonly string[]): Promise<AttemptRow[]> {
  return (await db('call_attempts').whereIn('call_id', callIds).orderBy(['call_id', 'number'])) as AttemptRow[];
}

/** Says which process of the node carries the attempt. @returns whether it is still open. */
export async function noteAttemptCore(db: Queryable, legId: string, coreUuid: string): Promise<boolean> {
  const open = db('call_attempts').where({ leg_id: legId }).whereNull('ended_at');
  return (await open.update({ node_core_uuid: coreUuid })) > 0;
}

/** @returns false where the leg is known already. */
export async function insertLeg(db: Queryable, row: Partial<LegRow>): Promise<boolean> {
  const rows = (await db('legs').insert(row).onConflict('id').ignore().returning('id')) as unknown[];
  return rows.length > 0;
}

export async function findLeg(db: Queryable, id: string): Promise<LegRow | undefined> {
  return (await db('legs').where({ id }).first()) as LegRow | undefined;
}

/** The leg, and what decides about it in its call; one question, since most events of a leg that is known change nothing. */
export async function findLegWithCall(
  db: Queryable,
  id: string,
): Promise<(LegRow & { call: Pick<CallRow, 'state' | 'hangup_requested_at'> }) | undefined> {
  const row = (await db('legs as l')
    .join('calls as c', 'c.id', 'l.call_id')
    .where('l.id', id)
    .first('l.*', 'c.state as call_state', 'c.hangup_requested_at')) as
    (LegRow & { call_state: CallState; hangup_requested_at: Date | null }) | undefined;
  if (!row) return undefined;
  const { call_state: state, hangup_requested_at, ...leg } = row;
  return { ...leg, call: { state, hangup_requested_at } };
}

export async function listLegs(db: Queryable, callIds: readonly string[]): Promise<LegRow[]> {
  return (await db('legs as l')
    .leftJoin('nodes as n', 'n.id', 'l.node_id')
    .whereIn('l.call_id', callIds)
    .orderBy('l.created_at')
    .select('l.*', 'n.name as node_name')) as LegRow[];
}

export type HeldLeg = Pick<LegRow, 'id' | 'call_id' | 'node_id' | 'role'>;

/** Legs of calls that talk, held since before then; a call that was told to end lately is left out. */
export async function listHeldLegs(
  db: Queryable,
  o: { heldBefore: Date; toldBefore: Date; limit: number },
): Promise<HeldLeg[]> {
  return (await db('legs as l')
    .join('calls as c', 'c.id', 'l.call_id')
    .where('l.held_since', '<', o.heldBefore)
    .whereNot('l.state', 'ended')
    .where('c.state', 'answered')
    .where((w) => w.whereNull('c.hangup_requested_at').orWhere('c.hangup_requested_at', '<', o.toldBefore))
    .orderBy('l.held_since')
    .limit(o.limit)
    .select('l.id', 'l.call_id', 'l.node_id', 'l.role')) as HeldLeg[];
}

export async function listLiveLegsOfNode(db: Queryable, nodeId: string): Promise<LegRow[]> {
  return (await db('legs').where({ node_id: nodeId }).whereNot('state', 'ended')) as LegRow[];
}

/** Those of these that are over. */
export async function listEndedLegs(db: Queryable, ids: readonly string[]): Promise<Pick<LegRow, 'id' | 'ended_at'>[]> {
  return (await db('legs').whereIn('id', ids).where('state', 'ended').select('id', 'ended_at')) as LegRow[];
}

export async function listOpenAttemptsOfNode(db: Queryable, nodeId: string): Promise<AttemptRow[]> {
  return (await db('call_attempts').where({ node_id: nodeId }).whereNull('ended_at')) as AttemptRow[];
}

export interface PlacementRow {
  call_id: string;
  attempt: number;
  decided_at: Date;
  node_id: string | null;
  node_name: string | null;
  policy: string;
  considered: Considered[];
  /** Nodes that were considered too, and are not among them. */
  left_out: number;
}

export async function savePlacement(db: Queryable, row: Omit<PlacementRow, 'left_out'>): Promise<void> {
  const { kept, leftOut } = shortenReport(row.considered, row.node_id);
  await db('placements')
    .insert({ ...row, considered: JSON.stringify(kept), left_out: leftOut })
    .onConflict(['call_id', 'attempt'])
    .merge();
}

export async function listPlacements(db: Queryable, callId: string): Promise<PlacementRow[]> {
  return (await db('placements').where({ call_id: callId }).orderBy('attempt')) as PlacementRow[];
}

/** @returns false where this leg's record was taken in before. */
export async function insertCdr(
  db: Queryable,
  row: { leg_id: string; node_id: string; call_id: string | null; record: string },
): Promise<boolean> {
  const rows = (await db('cdrs').insert(row).onConflict('leg_id').ignore().returning('leg_id')) as unknown[];
  return rows.length > 0;
}

export async function hasCdr(db: Queryable, legId: string): Promise<boolean> {
  return (await db('cdrs').where({ leg_id: legId }).first('leg_id')) !== undefined;
}
