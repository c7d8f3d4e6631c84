/** The numbered log: an event gets its number in the transaction of its state change, and none is ever skipped. */
import type { Queryable, Trx } from '../../infra/stores/db';

/** Events of the pool itself (nodes), which belong to no domain. */
export const POOL_STREAM = 'pool';

export interface EventDraft {
  /** A domain's id, or POOL_STREAM. */
  stream: string;
  /** "call.ringing", "registration.ended", "node.down" … */
  type: string;
  callId?: string | null;
  userId?: string | null;
  roomId?: string | null;
  nodeId?: string | null;
  data: Record<string, unknown>;
}

export interface LoggedEvent {
  stream: string;
  number: number;
  type: string;
  at: string;
  callId: string | null;
  userId: string | null;
  roomId: string | null;
  nodeId: string | null;
  data: Record<string, unknown>;
}

/**
 * Writes events as the last thing of a transaction. The row lock on the stream's head is held until the commit, so
 * numbers are given in the order of commits: a reader that has seen n can't later find a number below n. (A sequence
 * would commit out of order.) Streams are locked in their alphabetical order, so two writers can't deadlock.
 */
export async function appendEvents(trx: Trx, drafts: readonly EventDraft[]): Promise<LoggedEvent[]> {
  const byStream = new Map<string, EventDraft[]>();
  for (const draft of drafts) byStream.set(draft.stream, [...(byStream.get(draft.stream) ?? []), draft]);
  const logged: LoggedEvent[] = [];
  for (const stream of [...byStream.keys()].sort()) {
    const rows = byStream.get(stream)!.map((d) => ({
      type: d.type,
      call_id: d.callId ?? null,
      user_id: d.userId ?? null,
      room_id: d.roomId ?? null,
      node_id: d.nodeId ?? null,
      data: d.data,
    }));
    const result = await trx.raw<{ rows: EventRow[] }>(
      `with head as (
         insert into event_heads (stream, last_number) values (?, ?)
         on conflict (stream) do update set last_number = event_heads.last_number + excluded.last_number
         returning last_number)
       insert into events (stream, number, type, call_id, user_id, room_id, node_id, data)
       select ?, head.last_number - ? + d.ord, d.item->>'type', (d.item->>'call_id')::uuid,
              (d.item->>'user_id')::uuid, (d.item->>'room_id')::uuid, (d.item->>'node_id')::uuid, d.item->'data'
       from head, jsonb_array_elements(?::jsonb) with ordinality as d(item, ord)
       returning *`,
      [stream, rows.length, stream, rows.length, JSON.stringify(rows)],
    );
    logged.push(...result.rows.map(readEventRow).sort((a, b) => a.number - b.number));
  }
  return logged;
}

interface EventRow {
  stream: string;
  number: string | number;
  type: string;
  at: Date;
  call_id: string | null;
  user_id: string | null;
  room_id: string | null;
  node_id: string | null;
  data: Record<string, unknown>;
}

function readEventRow(row: EventRow): LoggedEvent {
  return {
    stream: row.stream,
    number: Number(row.number),
    type: row.type,
    at: row.at.toISOString(),
    callId: row.call_id,
    userId: row.user_id,
    roomId: row.room_id,
    nodeId: row.node_id,
    data: row.data,
  };
}

/** Events after `after`, in order. */
export async function readEvents(db: Queryable, stream: string, after: number, limit: number): Promise<LoggedEvent[]> {
  const rows = (await db('events')
    .where({ stream })
    .where('number', '>', after)
    .orderBy('number')
    .limit(limit)) as EventRow[];
  return rows.map(readEventRow);
}

/** The first number still kept, and the last one given (0 where nothing was written yet). */
export async function readEventHead(db: Queryable, stream: string): Promise<{ first: number; last: number }> {
  const head = (await db('event_heads').where({ stream }).first()) as
    { first_number: string; last_number: string } | undefined;
  return head ? { first: Number(head.first_number), last: Number(head.last_number) } : { first: 1, last: 0 };
}

/** The last number given in each of these streams; streams nothing was written to are left out. */
export async function readEventHeads(
  db: Queryable,
  streams: readonly string[],
): Promise<{ stream: string; last: number }[]> {
  const rows = (await db('event_heads').whereIn('stream', streams).select('stream', 'last_number')) as {
    stream: string;
    last_number: string;
  }[];
  return rows.map((row) => ({ stream: row.stream, last: Number(row.last_number) }));
}

/**
 * Removes events older than `before`, `limit` at once, so that no writer waits long for its stream's head. The head
 * remembers where the log now begins.
 */
export async function trimEvents(db: Queryable, before: Date, limit = 5000): Promise<number> {
  const result = await db.raw<{ rows: { count: string }[] }>(
    `with old as (select stream, number from events where at < ? order by at, number limit ?),
          gone as (delete from events e using old where e.stream = old.stream and e.number = old.number
                   returning e.stream, e.number),
          ends as (select stream, max(number) as last from gone group by stream),
          heads as (update event_heads h set first_number = greatest(h.first_number, ends.last + 1)
                    from ends where ends.stream = h.stream)
     select count(*) from gone`,
    [before, limit],
  );
  return Number(result.rows[0]?.count ?? 0);
}
