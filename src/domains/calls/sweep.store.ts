/** The SQL of the sweep: only live calls, in the order of the indexes that hold nothing else. */
import type { Queryable } from '../../infra/db';
import type { CallRow } from './calls.store';

/** A live call on a node, which must hold a claim there. */
export interface Claimant {
  nodeId: string;
  callId: string;
  units: number;
}

/** Node by node, so that a node's claims are kept together. @param after the last of the page before */
export async function listClaimants(
  db: Queryable,
  after: Pick<Claimant, 'nodeId' | 'callId'> | undefined,
  limit: number,
): Promise<Claimant[]> {
  const query = db('calls')
    .whereNot('state', 'ended')
    .whereNotNull('node_id')
    .orderBy(['node_id', 'id'])
    .limit(limit)
    .select('node_id', 'id', 'units');
  if (after) void query.whereRaw('(node_id, id) > (?, ?)', [after.nodeId, after.callId]);
  const rows = (await query) as { node_id: string; id: string; units: string }[];
  return rows.map((row) => ({ nodeId: row.node_id, callId: row.id, units: Number(row.units) }));
}

/** Which of these calls are live on the node they hold a claim at. */
export async function findHolders(
  db: Queryable,
  claims: readonly Pick<Claimant, 'nodeId' | 'callId'>[],
): Promise<Set<string>> {
  const nodeOf = new Map(claims.map((claim) => [claim.callId, claim.nodeId]));
  const rows = (await db('calls')
    .whereIn('id', [...nodeOf.keys()])
    .whereNot('state', 'ended')
    .select('id', 'node_id')) as {
    id: string;
    node_id: string | null;
  }[];
  return new Set(rows.filter((row) => row.node_id === nodeOf.get(row.id)).map((row) => row.id));
}

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
