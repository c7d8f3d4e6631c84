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
