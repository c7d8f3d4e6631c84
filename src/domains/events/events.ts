/** Writes a state change and its events in one transaction, then wakes the readers of every replica. */
import { isDeadlock, type Db, type Trx } from '../../infra/stores/db';
import type { ConcurrencyLimit } from '../../infra/flow/concurrency-limit';
import type { Logger } from '../../infra/logger';
import { appendEvents, type EventDraft, type LoggedEvent } from './events.store';

/** Tells live readers that a stream has grown. A lost notice is harmless: readers also look by themselves. */
export interface EventBell {
  ring(events: readonly LoggedEvent[]): void;
}

/** A bell that rings several others; a fault of one keeps nothing from the rest. */
export interface SharedBell extends EventBell {
  /** @returns takes it away again */
  add(bell: EventBell): () => void;
}

export function createSharedBell(logger: Logger, ...first: EventBell[]): SharedBell {
  const bells = new Set(first);
  return {
    ring(events) {
      for (const bell of bells) {
        try {
          bell.ring(events);
        } catch (error) {
          logger.error({ err: error }, 'somebody who is told of events failed');
        }
      }
    },
    add(bell) {
      bells.add(bell);
      return () => bells.delete(bell);
    },
  };
}

export interface EventLog {
  /**
   * Runs `change` in a transaction; the drafts it leaves with `emit` are numbered as its last step. Where two wait for
   * each other Postgres ends one of them, and it is run again: it does nothing but what the transaction does.
   */
  record<T>(change: (trx: Trx, emit: (draft: EventDraft) => void) => Promise<T>): Promise<T>;
  /**
   * The same for one statement that numbers its event by itself (migration 044). It takes no turn, since it holds nothing
   * between round trips.
   */
  write<T extends { outcome: string; logged?: LoggedEvent }>(statement: () => Promise<T>): Promise<T>;
}

/** A room that is deleted while its people are changed is such a case; more than a few in a row are a fault of ours. */
const TRIES = 4;

/**
 * @param gate how many changes of this replica run at once. Those of one domain wait for each other, each with a connection
 *   in its hand: without it a burst in one domain has them all, and nobody can read anything any more
 */
export function createEventLog(
  db: Db,
  bell: EventBell,
  _logger: Logger,
  concurrencyLimit?: ConcurrencyLimit,
): EventLog {
  const inTurn: ConcurrencyLimit['run'] = concurrencyLimit ? (work) => concurrencyLimit.run(work) : (work) => work();
  return {
    record: (change) =>
      tryAgain(async () => {
        let logged: LoggedEvent[] = [];
        const result = await inTurn(() =>
          db.transaction(async (trx) => {
            const drafts: EventDraft[] = [];
            const value = await change(trx, (draft) => drafts.push(draft));
            if (drafts.length > 0) logged = await appendEvents(trx, drafts);
            return value;
          }),
        );
        if (logged.length > 0) bell.ring(logged);
        return result;
      }),
    write: (statement) =>
      tryAgain(async () => {
        const written = await statement();
        if (written.logged) bell.ring([written.logged]);
        return written;
      }),
  };
}

async function tryAgain<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isDeadlock(error) || tries >= TRIES) throw error;
    }
  }
}
