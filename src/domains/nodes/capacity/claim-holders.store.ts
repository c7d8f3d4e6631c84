/** What must hold a claim by its row in Postgres: a live call and a living session are asked for alike. */
import type { Queryable } from '../../../infra/stores/db';
import type { HeldClaim, Recall } from './claims';

/** Both have id, node_id, units, and a state that ends with `ended`; an index of each holds only the living. */
export type ClaimHolderTable = 'calls' | 'sessions';

interface ClaimHolderRow {
  node_id: string;
  id: string;
  units: string;
}

/** Those that live on a node. */
const livingOn = (db: Queryable, table: ClaimHolderTable) =>
  db(table).whereNot('state', 'ended').whereNotNull('node_id').select('node_id', 'id', 'units');

const readClaims = (rows: readonly ClaimHolderRow[]): HeldClaim[] =>
  rows.map((row) => ({ nodeId: row.node_id, callId: row.id, units: Number(row.units) }));

/** Node by node, so that a node's claims are kept together. @param after the last of the page before */
export async function listClaimHolders(
  db: Queryable,
  table: ClaimHolderTable,
  after: Pick<HeldClaim, 'nodeId' | 'callId'> | undefined,
  limit: number,
): Promise<HeldClaim[]> {
  const query = livingOn(db, table).orderBy(['node_id', 'id']).limit(limit);
  if (after) void query.whereRaw('(node_id, id) > (?, ?)', [after.nodeId, after.callId]);
  return readClaims((await query) as ClaimHolderRow[]);
}

/** Which of these live on the node they hold a claim at. */
export async function findHolders(
  db: Queryable,
  table: ClaimHolderTable,
  claims: readonly Pick<HeldClaim, 'nodeId' | 'callId'>[],
): Promise<Set<string>> {
  const nodeOf = new Map(claims.map((claim) => [claim.callId, claim.nodeId]));
  const rows = (await db(table)
    .whereIn('id', [...nodeOf.keys()])
    .whereNot('state', 'ended')
    .select('id', 'node_id')) as { id: string; node_id: string | null }[];
  return new Set(rows.filter((row) => row.node_id === nodeOf.get(row.id)).map((row) => row.id));
}

const TABLES: readonly ClaimHolderTable[] = ['calls', 'sessions'];

/** What a node must hold claims for, when Redis does not know. */
export function createRecall(db: Queryable): Recall {
  return {
    async list(nodeId) {
      const found = await Promise.all(TABLES.map((table) => livingOn(db, table).where({ node_id: nodeId })));
      return readClaims(found.flat() as ClaimHolderRow[]);
    },
    async findNeeded(claims) {
      const found = await Promise.all(TABLES.map((table) => findHolders(db, table, claims)));
      return new Set(found.flatMap((ids) => [...ids]));
    },
  };
}
