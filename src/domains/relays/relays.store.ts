/** The SQL of relays. Which replica sends a relay is decided here: by a lease on its row, taken and renewed by time. */
import type { Queryable } from '../../infra/stores/db';
import type { Gap, RelayState } from './state-machine';

export interface RelayRow {
  id: string;
  domain_id: string;
  domain_name: string;
  room_id: string;
  room_name: string;
  node_name: string | null;
  name: string;
  /** rtmp(s)://host[:port]/app, without the stream's key. */
  url: string;
  stream_key_sealed: string;
  max_restarts: number;
  desired: 'live' | 'stopped';
  state: RelayState;
  /** The session it is, or was last, sent from. */
  session_id: string | null;
  meeting_id: string | null;
  node_id: string | null;
  /** The replica that sends it. */
  owner_id: string | null;
  owned_until: Date | null;
  /** All there were. */
  restarts: number;
  /** Since it was last live for a while. */
  tries: number;
  next_try_at: Date | null;
  last_fault: string | null;
  gaps: Gap[];
  /** A bigint, as text. */
  gap_ms: string;
  bytes_sent: string;
  created_at: Date;
  first_live_at: Date | null;
  live_since: Date | null;
  /** When the target was last seen to take something. */
  flowed_at: Date | null;
  ended_at: Date | null;
}

export type RelayChange = Partial<
  Omit<RelayRow, 'domain_name' | 'room_name' | 'node_name' | 'gap_ms' | 'bytes_sent'>
> & {
  gap_ms?: number | string;
  bytes_sent?: number | string;
};

/** Of a relay that is not over. */
export const OPEN_STATES: readonly RelayState[] = ['waiting', 'checking', 'starting', 'live', 'restarting', 'stopping'];

const selectRelays = (db: Queryable) =>
  db('relays as r')
    .join('domains as d', 'd.id', 'r.domain_id')
    .join('rooms as m', 'm.id', 'r.room_id')
    .leftJoin('nodes as n', 'n.id', 'r.node_id')
    .select('r.*', 'd.name as domain_name', 'm.name as room_name', 'n.name as node_name');

const json = (change: RelayChange) => ({ ...change, ...(change.gaps ? { gaps: JSON.stringify(change.gaps) } : {}) });

export async function insertRelay(db: Queryable, row: RelayChange & { id: string }): Promise<void> {
  await db('relays').insert(json(row));
}

export async function findRelay(db: Queryable, id: string): Promise<RelayRow | undefined> {
  return (await selectRelays(db).where('r.id', id).first()) as RelayRow | undefined;
}

export async function lockRelay(db: Queryable, id: string): Promise<RelayRow | undefined> {
  const row = (await db('relays').where({ id }).forUpdate().first('id')) as { id: string } | undefined;
  return row ? findRelay(db, id) : undefined;
}

/** The newest first. */
export async function listRelayRows(
  db: Queryable,
  filter: { domainId?: string; roomId?: string; state?: RelayState; before?: string; limit: number },
): Promise<RelayRow[]> {
  const query = selectRelays(db).orderBy('r.id', 'desc').limit(filter.limit);
  if (filter.domainId) void query.where('r.domain_id', filter.domainId);
  if (filter.roomId) void query.where('r.room_id', filter.roomId);
  if (filter.state) void query.where('r.state', filter.state);
  if (filter.before) void query.where('r.id', '<', filter.before);
  return (await query) as RelayRow[];
}

/** How many relays of the room are not over. */
export async function countOpenRelays(db: Queryable, roomId: string): Promise<number> {
  const row = (await db('relays')
    .where({ room_id: roomId })
    .whereIn('state', OPEN_STATES)
    .count('id as count')
    .first()) as { count: string } | undefined;
  return Number(row?.count ?? 0);
}

/** How many relays a replica is sending from this session now. */
export async function countSentRelays(db: Queryable, sessionId: string, now: Date): Promise<number> {
  const row = (await db('relays')
    .where({ session_id: sessionId })
    .whereIn('state', ['starting', 'live'])
    .where('owned_until', '>', now)
    .count('id as count')
    .first()) as { count: string } | undefined;
  return Number(row?.count ?? 0);
}

/** @returns whether the relay was in one of `expected` and is now as asked. */
export async function updateRelay(
  db: Queryable,
  id: string,
  expected: readonly RelayState[],
  change: RelayChange,
): Promise<boolean> {
  return (await db('relays').where({ id }).whereIn('state', expected).update(json(change))) > 0;
}

/**
 * Takes every open relay that nobody holds, and makes the lease of those longer that this replica holds.
 * @returns all it holds now, also those that are to be stopped
 */
export async function holdRelays(db: Queryable, ownerId: string, now: Date, until: Date): Promise<RelayRow[]> {
  const held = (await db('relays')
    .whereIn('state', OPEN_STATES)
    .where((w) => w.where({ owner_id: ownerId }).orWhereNull('owner_id').orWhere('owned_until', '<', now))
    .update({ owner_id: ownerId, owned_until: until })
    .returning('id')) as { id: string }[];
  if (held.length === 0) return [];
  return (await selectRelays(db).whereIn(
    'r.id',
    held.map((row) => row.id),
  )) as RelayRow[];
}

/** Gives all back at once: another replica need not wait for the lease to end. */
export async function giveUpRelays(db: Queryable, ownerId: string): Promise<void> {
  await db('relays').where({ owner_id: ownerId }).update({ owner_id: null, owned_until: null });
}
