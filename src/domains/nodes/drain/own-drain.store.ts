/** The SQL of what is still on a node. */
import type { Queryable } from '../../../infra/stores/db';

/** What has to be over, by the tables, before a node may be stopped. */
export interface NodeWork {
  liveCalls: number;
  liveLegs: number;
  rooms: number;
  /** Recordings that are being made, or have not been sent yet. */
  filesToSend: number;
  /** Registered there. */
  phones: number;
}

export async function countNodeWork(db: Queryable, nodeId: string): Promise<NodeWork> {
  const result = (await db.raw(
    `select (select count(*) from calls where node_id = :nodeId and state <> 'ended')::int as "liveCalls",
            (select count(*) from legs where node_id = :nodeId and state <> 'ended')::int as "liveLegs",
            (select count(*) from sessions where node_id = :nodeId and state <> 'ended')::int as rooms,
            (select count(*) from recording_parts
              where node_id = :nodeId and state in ('starting', 'recording', 'stopping', 'uploading'))::int as "filesToSend",
            (select count(*) from registrations where node_id = :nodeId and expires_at > now())::int as phones`,
    { nodeId },
  )) as { rows: NodeWork[] };
  return result.rows[0]!;
}
