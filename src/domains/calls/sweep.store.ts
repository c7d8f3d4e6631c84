/** The SQL of the sweep: only live calls, in the order of the indexes that hold nothing else. */
import type { Queryable } from '../../infra/db';
import type { CallRow } from './calls.store';

export async function countClaimants(db: Queryable): Promise<number> {
  const rows = (await db('calls').whereNot('state', 'ended').whereNotNull('node_id').count('* as count')) as {
    count: string;
  }[];
  return Number(rows[0]?.count ?? 0);
}

/** Calls nobody has answered yet, the youngest first. */
export async function listUnanswered(db: Queryable, before: string | undefined, limit: number): Promise<CallRow[]> {
  const query = db('calls as c')
    .leftJoin('nodes as n', 'n.id', 'c.node_id')
    .whereIn('c.state', ['queued', 'placing', 'ringing'])
    .orderBy('c.id', 'desc')
    .limit(limit)
    .select('c.*', 'n.name as node_name');
  if (before) void query.where('c.id', '<', before);
  return (await query) as CallRow[];
}
