/** The SQL of the sweep: only live calls, in the order of the indexes that hold nothing else. */
import type { Queryable } from '../../../infra/stores/db';
import type { CallRow } from '../calls.store';

export async function countClaimHolders(db: Queryable): Promise<number> {
  const rows = (await db('calls').whereNot('state', 'ended').whereNotNull('node_id').count('* as count')) as {
    count: string;
  }[];
  return Number(rows[0]?.count ?? 0);
}

/** A call with what is known of its node; nulls where it has none, or that is in the pool no more. */
export type UnansweredRow = CallRow & {
  node_state: string | null;
  down_since: Date | null;
  down_reason: string | null;
};

/** Calls nobody has answered yet, the youngest first. */
export async function listUnanswered(
  db: Queryable,
  before: string | undefined,
  limit: number,
): Promise<UnansweredRow[]> {
  const query = db('calls as c')
    .leftJoin('nodes as n', 'n.id', 'c.node_id')
    .whereIn('c.state', ['queued', 'placing', 'ringing'])
    .orderBy('c.id', 'desc')
    .limit(limit)
    .select('c.*', 'n.name as node_name', 'n.state as node_state', 'n.down_since', 'n.down_reason');
  if (before) void query.where('c.id', '<', before);
  return (await query) as UnansweredRow[];
}

/** Calls that wait, and have since before this moment no time left. */
export async function listOverdue(db: Queryable, placeBefore: Date, limit: number): Promise<string[]> {
  return (await db('calls')
    .where({ state: 'queued', origin: 'api' })
    .where('place_before', '<', placeBefore)
    .orderBy('place_before')
    .limit(limit)
    .pluck('id')) as string[];
}

/** Calls that were answered before then, and that nobody asked to end since `toldBefore`. */
export async function listAnsweredBefore(
  db: Queryable,
  o: { answeredBefore: Date; toldBefore: Date; limit: number },
): Promise<string[]> {
  return (await db('calls')
    .where('state', 'answered')
    .where('answered_at', '<', o.answeredBefore)
    .where((w) => w.whereNull('hangup_requested_at').orWhere('hangup_requested_at', '<', o.toldBefore))
    .limit(o.limit)
    .pluck('id')) as string[];
}

/** Which of these are live calls or rooms on the node. */
export async function listNeeded(db: Queryable, nodeId: string, ids: readonly string[]): Promise<Set<string>> {
  const calls = db('calls').whereIn('id', ids).where({ node_id: nodeId }).whereNot('state', 'ended').select('id');
  const sessions = db('sessions').whereIn('id', ids).where({ node_id: nodeId }).whereNot('state', 'ended').select('id');
  const rows = (await Promise.all([calls, sessions])).flat() as { id: string }[];
  return new Set(rows.map((row) => row.id));
}

export interface ForgottenAttempt {
  leg_id: string;
  call_id: string;
  hangup_cause: string | null;
  ended_at: Date;
}

/** Other phones of the caller may still ring, and others of the call may talk on: see events/reduce-call.ts and joining/. */
const othersOf = (db: Queryable) =>
  db('legs as o')
    .whereRaw('o.call_id = a.call_id and o.node_id = a.node_id')
    .whereNot('o.state', 'ended')
    .where((w) => w.whereIn('o.role', ['from', 'transit']).orWhere('o.state', 'answered'));

/** Attempts whose leg is over since before then, and which nothing has settled. */
export async function listForgottenAttempts(db: Queryable, before: Date): Promise<ForgottenAttempt[]> {
  return (await db('calls as c')
    .join('call_attempts as a', 'a.call_id', 'c.id')
    .join('legs as l', 'l.id', 'a.leg_id')
    .whereNot('c.state', 'ended')
    .whereNull('a.ended_at')
    .where('l.state', 'ended')
    .where('l.ended_at', '<', before)
    .whereNotExists(othersOf(db))
    .select('a.leg_id', 'a.call_id', 'l.hangup_cause', 'l.ended_at')) as ForgottenAttempt[];
}
