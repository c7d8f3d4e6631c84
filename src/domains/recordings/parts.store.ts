/** The SQL of parts: each is one file that a node writes, and that then has to arrive here. */
import type { Queryable } from '../../infra/stores/db';
import type { RecordingFormat } from './recordings.store';

export type PartState =
  'starting' | 'recording' | 'stopping' | 'uploading' | 'stored' | 'absent' | 'failed' | 'deleted';

export interface PartRow {
  id: string;
  recording_id: string;
  number: number;
  node_id: string | null;
  node_name: string;
  /** What is recorded: a session of a room, or a leg of a call. */
  session_id: string | null;
  leg_id: string | null;
  format: RecordingFormat;
  /** On the node. */
  path: string;
  state: PartState;
  requested_at: Date;
  /** When the node was last told to start or stop it. */
  commanded_at: Date | null;
  started_at: Date | null;
  ended_at: Date | null;
  end_reason: string | null;
  /** What the node says it wrote, in milliseconds; bigints come as text. */
  node_ms: string | null;
  /** What the file itself says. */
  media_ms: string | null;
  playable: boolean | null;
  /** The size when it was last looked at. */
  seen_bytes: string;
  grown_at: Date | null;
  looked_at: Date | null;
  stalled: boolean;
  /** Of the finished file, as the node weighed and hashed it. */
  bytes: string | null;
  sha256: string | null;
  storage_key: string | null;
  stored_at: Date | null;
  /** Whether the node's copy is still to be removed: it goes when the file is here, whole or damaged. */
  node_copy: boolean;
  /** Of bringing it here. */
  tries: number;
  next_try_at: Date | null;
  fault: string | null;
}

/** Those in which the node is or should be writing. */
export const LIVING: readonly PartState[] = ['starting', 'recording', 'stopping'];
export const isLiving = (part: PartRow): boolean => LIVING.includes(part.state);
/** Those in which the node writes it no more. */
export const ENDED: readonly PartState[] = ['uploading', 'stored', 'absent', 'failed', 'deleted'];

/** It ended by itself, and whether its call or room was over is not known yet. */
export const isUnexplained = (part: PartRow): boolean =>
  !isLiving(part) && part.started_at !== null && part.ended_at !== null && part.end_reason === null;

/** It is here, and can't be played: what a node left that was killed while it wrote. */
export const isDamaged = (part: PartRow): boolean => part.state === 'failed' && part.storage_key !== null;

export async function insertPart(db: Queryable, row: Partial<PartRow> & { id: string }): Promise<void> {
  await db('recording_parts').insert(row);
}

export async function findPart(db: Queryable, id: string): Promise<PartRow | undefined> {
  return (await db('recording_parts').where({ id }).first()) as PartRow | undefined;
}

export async function listParts(db: Queryable, recordingIds: readonly string[]): Promise<PartRow[]> {
  return (await db('recording_parts')
    .whereIn('recording_id', recordingIds)
    .orderBy(['recording_id', 'number'])) as PartRow[];
}

/** @returns whether it was in one of `expected`, and is now as asked */
export async function updatePart(
  db: Queryable,
  id: string,
  expected: readonly PartState[],
  change: Partial<PartRow>,
): Promise<boolean> {
  return (await db('recording_parts').where({ id }).whereIn('state', expected).update(change)) > 0;
}

/** What a node that is back is asked about: all it writes, all that is missing, and all that could not be brought here. */
export async function listPartsOfNode(db: Queryable, nodeId: string, states: readonly PartState[]): Promise<PartRow[]> {
  return (await db('recording_parts').where({ node_id: nodeId }).whereIn('state', states).orderBy('id')) as PartRow[];
}

/** Parts on nodes that are dead: the socket refused, or nobody has heard of them since `silentBefore`. */
export async function listPartsOfDeadNodes(db: Queryable, silentBefore: Date): Promise<PartRow[]> {
  return (await db('recording_parts as p')
    .join('nodes as n', 'n.id', 'p.node_id')
    .where('n.state', 'down')
    .where((w) => w.where('n.down_reason', 'refused').orWhere('n.down_since', '<', silentBefore))
    .whereIn('p.state', ['starting', 'recording', 'stopping', 'uploading'])
    .select('p.*')
    .limit(500)) as PartRow[];
}

/** Takes the parts to be looked at now, for one replica: those not looked at since `before`. */
export async function takePartsToWatch(db: Queryable, before: Date, now: Date, limit: number): Promise<PartRow[]> {
  return (await db('recording_parts')
    .whereIn('id', (q) =>
      q
        .from('recording_parts')
        .select('id')
        .where('state', 'recording')
        .where((w) => w.whereNull('looked_at').orWhere('looked_at', '<=', before))
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .update({ looked_at: now })
    .returning('*')) as PartRow[];
}

/** Takes parts to be brought here or cleared away on their node, for one replica: they are due again at `until`. */
export async function takeDueParts(
  db: Queryable,
  states: readonly PartState[],
  o: { now: Date; until: Date; limit: number },
): Promise<PartRow[]> {
  return (await db('recording_parts')
    .whereIn('id', (q) =>
      q
        .from('recording_parts')
        .select('id')
        .whereIn('state', states)
        .where('next_try_at', '<=', o.now)
        .orderBy('next_try_at')
        .limit(o.limit)
        .forUpdate()
        .skipLocked(),
    )
    .update({ next_try_at: o.until })
    .returning('*')) as PartRow[];
}
