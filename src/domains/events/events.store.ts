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
 * Writes events as the last thing of a transaction, of all streams in one statement. The row lock on a stream's head is
 * held until the commit, so numbers are given in the order of commits: a reader that has seen n can't later find a number
 * below n. (A sequence would commit out of order.) Heads are locked in the order of the streams' bytes, so two writers
 * can't deadlock.
 */
export async function appendEvents(trx: Trx, drafts: readonly EventDraft[]): Promise<LoggedEvent[]> {
  const byStream = new Map<string, EventDraft[]>();
  for (const draft of drafts) {
    const some = byStream.get(draft.stream);
    if (some) some.push(draft);
    else byStream.set(draft.stream, [draft]);
  }
  const streams = [...byStream].map(([stream, some]) => ({ stream, count: some.length }));
  const rows = [...byStream.values()].flatMap((some) =>
    some.map((d, i) => ({
      stream: d.stream,
      ord: i + 1,
      type: d.type,
      call_id: d.callId ?? null,
      user_id: d.userId ?? null,
      room_id: d.roomId ?? null,
      node_id: d.nodeId ?? null,
      data: d.data,
    })),
  );
  const result = await trx.raw<{ rows: { stream: string; number: string; at: Date }[] }>(
    `with head as (
       insert into event_heads (stream, last_number)
       select stream, count from json_to_recordset(?::json) as s(stream text, count integer) order by stream collate "C"
       on conflict (stream) do update set last_number = event_heads.last_number + excluded.last_number
       returning stream, last_number)
     insert into events (stream, number, type, call_id, user_id, room_id, node_id, data)
     select d.stream, head.last_number - s.count + d.ord, d.type, d.call_id, d.user_id, d.room_id, d.node_id, d.data
     from json_to_recordset(?::json) as d(stream text, ord integer, type text, call_id uuid, user_id uuid, room_id uuid,
            node_id uuid, data jsonb)
     join json_to_recordset(?::json) as s(stream text, count integer) on s.stream = d.stream
     join head on head.stream = d.stream
     order by d.stream, d.ord
     returning stream, number, at`,
    [JSON.stringify(streams), JSON.stringify(rows), JSON.stringify(streams)],
  );
  const numbered = result.rows.map((row) => ({ ...row, number: Number(row.number) }));
  numbered.sort((a, b) => a.number - b.number);
  const next = new Map<string, number>();
  return numbered
    .map(({ stream, number, at }) => {
      const i = next.get(stream) ?? 0;
      next.set(stream, i + 1);
      return logged(byStream.get(stream)![i]!, number, at);
    })
    .sort((a, b) => (a.stream === b.stream ? a.number - b.number : a.stream < b.stream ? -1 : 1));
}

const logged = (draft: EventDraft, number: number, at: Date): LoggedEvent => ({
  stream: draft.stream,
  number,
  type: draft.type,
  at: at.toISOString(),
  callId: draft.callId ?? null,
  userId: draft.userId ?? null,
  roomId: draft.roomId ?? null,
  nodeId: draft.nodeId ?? null,
  data: draft.data,
});

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
