/** Holds the numbered log against its readers, and the calls against their attempts. */
import type { Pool } from 'pg';
import type { Violation } from './judging/invariants';
import type { StreamReader } from './judging/reader';

export interface LogFigures {
  streams: { name: string; events: number; reconnects: number }[];
}

const CATCH_UP_MS = 60_000;

export async function checkLog(
  db: Pool,
  readers: readonly StreamReader[],
): Promise<{ violations: Violation[]; figures: LogFigures }> {
  const violations: Violation[] = [];
  const say = (rule: string, text: string, callId?: string): void =>
    void violations.push({ rule, key: `${rule}: ${text}`, text, callId });
  const figures: LogFigures = { streams: [] };
  const streams = await db.query<{
    stream: string;
    name: string;
    last: string;
    count: string;
    first: string;
    end: string;
  }>(
    `select h.stream, coalesce(d.name, h.stream) as name, h.last_number as last,
            count(e.number) as count, min(e.number) as first, max(e.number) as end
       from event_heads h left join domains d on d.id::text = h.stream left join events e on e.stream = h.stream
      group by 1, 2, 3`,
  );
  for (const { name, last, count, first, end } of streams.rows) {
    if (Number(count) !== Number(last) || Number(first) !== 1 || Number(end) !== Number(last))
      say(
        'an event number that is not there once',
        `${name}: ${count} events from ${first} to ${end}, the head says ${last}`,
      );
    const reader = readers.find((r) => r.name === name);
    if (!reader) continue;
    const deadline = Date.now() + CATCH_UP_MS;
    while (reader.last < Number(last) && Date.now() < deadline) await new Promise((done) => setTimeout(done, 100));
    if (reader.last < Number(last)) say('a reader that was left behind', `${name}: at ${reader.last} of ${last}`);
    for (const fault of reader.faults.slice(0, 5))
      say('an event number that a reader did not get once', `${name}: ${fault}`);
    figures.streams.push({ name, events: reader.count, reconnects: reader.reconnects });
  }
  const again = await db.query<{ call_id: string; number: number; cause: string }>(
    `select a.call_id, a.number, a.hangup_cause as cause from call_attempts a
      join call_attempts b on b.call_id = a.call_id and b.number > a.number where a.hangup_cause = 'NODE_UNKNOWN'`,
  );
  for (const { call_id: id, number } of again.rows)
    say('a call dialled again after an unknown end', `call ${id}: attempt ${number} ended NODE_UNKNOWN`, id);
  const endless = await db.query<{ id: string }>(`select id from calls where state = 'ended' and outcome is null`);
  for (const { id } of endless.rows) say('a call that ended without an outcome', `call ${id}`, id);
  const overlapping = await db.query<{ call_id: string }>(
    `select a.call_id from call_attempts a join call_attempts b on b.call_id = a.call_id and b.number = a.number + 1
      where a.ended_at is null`,
  );
  for (const { call_id: id } of overlapping.rows)
    say('an attempt begun before the one before had ended', `call ${id}`, id);
  return { violations, figures };
}
