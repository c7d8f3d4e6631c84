/** The SQL of who has to do with a call: one look for each leg that is new to us. */
import type { Queryable } from '../../../infra/stores/db';

export interface Business {
  /** The node places the call, has placed it before, or has a leg of it. */
  isIts: boolean;
  /** Legs of the call that are known. */
  legCount: number;
  /** Where the leg carries an attempt: the node that was told to make it. */
  attemptNodeId: string | null | undefined;
}

/** @returns undefined where there is no such call */
export async function readBusiness(
  db: Queryable,
  o: { nodeId: string; callId: string; legId: string },
): Promise<Business | undefined> {
  const result = await db.raw<{
    rows: { is_its: boolean; leg_count: string; is_attempt: boolean; attempt_node_id: string | null }[];
  }>(
    `select coalesce(c.node_id = :nodeId::uuid, false)
         or exists (select 1 from legs l where l.call_id = c.id and l.node_id = :nodeId::uuid)
         or exists (select 1 from call_attempts a where a.call_id = c.id and a.node_id = :nodeId::uuid) as is_its,
       (select count(*) from legs l where l.call_id = c.id) as leg_count,
       t.call_id is not null as is_attempt, t.node_id as attempt_node_id
     from calls c left join call_attempts t on t.call_id = c.id and (t.leg_id = :legId::uuid or t.first_leg_id = :legId::uuid)
     where c.id = :callId::uuid limit 1`,
    o,
  );
  const row = result.rows[0];
  if (!row) return undefined;
  return {
    isIts: row.is_its,
    legCount: Number(row.leg_count),
    attemptNodeId: row.is_attempt ? row.attempt_node_id : undefined,
  };
}
