/** The end of one stream, kept in memory: what many live readers want at once is read from the database once. */
import type { Db } from '../../infra/stores/db';
import { readEvents, type LoggedEvent } from './events.store';

export interface Tail {
  /** The highest number known to be committed. */
  readonly last: number;
  /** Events that were just committed here. */
  offer(events: readonly LoggedEvent[]): void;
  /** The stream is known to have reached `last`. */
  grewTo(last: number): void;
  /** Events after `at`. All up to `upTo` that are still kept were there to read. */
  read(at: number, limit: number): Promise<{ events: LoggedEvent[]; upTo: number }>;
  /** Resolves when the stream has grown beyond `at`, or `signal` aborts. */
  wait(at: number, signal: AbortSignal): Promise<void>;
}

const KEPT = 500;

export function createTail(db: Db, stream: string): Tail {
  let last = 0;
  /** Without holes. */
  let kept: LoggedEvent[] = [];
  const reading = new Map<number, Promise<{ events: LoggedEvent[]; upTo: number }>>();
  const waiters = new Set<() => void>();

  function grewTo(number: number): void {
    if (number <= last) return;
    last = number;
    for (const wake of [...waiters]) wake();
  }

  function keep(events: readonly LoggedEvent[]): void {
    const first = events[0];
    if (!first) return;
    if (events.some((event, i) => event.number !== first.number + i)) return;
    const end = kept.at(-1)?.number;
    if (end !== undefined && first.number <= end) return;
    kept = first.number === (end ?? NaN) + 1 ? [...kept, ...events].slice(-KEPT) : events.slice(-KEPT);
  }

  async function load(at: number, limit: number): Promise<{ events: LoggedEvent[]; upTo: number }> {
    const known = last; // before we read: what was committed by then must be seen, or was trimmed
    const events = await readEvents(db, stream, at, limit);
    keep(events);
    grewTo(events.at(-1)?.number ?? 0);
    return { events, upTo: events.length < limit ? known : (events.at(-1)?.number ?? known) };
  }

  return {
    get last() {
      return last;
    },
    offer(events) {
      keep(events);
      grewTo(events.at(-1)?.number ?? 0);
    },
    grewTo,
    async read(at, limit) {
      const first = kept[0];
      const end = kept.at(-1);
      if (first && end && at + 1 >= first.number && at < end.number) {
        const events = kept.slice(at + 1 - first.number).slice(0, limit);
        return { events, upTo: events.at(-1)!.number };
      }
      const shared = reading.get(at);
      if (shared) return shared;
      const mine = load(at, limit).finally(() => reading.delete(at));
      reading.set(at, mine);
      return mine;
    },
    wait(at, signal) {
      return new Promise((resolve) => {
        const check = () => {
          if (last <= at && !signal.aborted) return;
          waiters.delete(check);
          signal.removeEventListener('abort', check);
          resolve();
        };
        waiters.add(check);
        signal.addEventListener('abort', check);
        check();
      });
    },
  };
}
