/** Writes a state change and its events in one transaction, then wakes the readers of every replica. */
import type { Db, Trx } from '../../infra/db';
import type { Logger } from '../../infra/logger';
import { appendEvents, type EventDraft, type LoggedEvent } from './events.store';

/** Tells live readers that a stream has grown. A lost notice is harmless: readers also look by themselves. */
export interface EventBell {
  ring(events: readonly LoggedEvent[]): void;
}

export interface EventLog {
  /** Runs `change` in a transaction; the drafts it leaves with `emit` are numbered as its last step. */
  record<T>(change: (trx: Trx, emit: (draft: EventDraft) => void) => Promise<T>): Promise<T>;
}

export function createEventLog(db: Db, bell: EventBell, _logger: Logger): EventLog {
  return {
    async record(change) {
      let logged: LoggedEvent[] = [];
      const result = await db.transaction(async (trx) => {
        const drafts: EventDraft[] = [];
        const value = await change(trx, (draft) => drafts.push(draft));
        if (drafts.length > 0) logged = await appendEvents(trx, drafts);
        return value;
      });
      if (logged.length > 0) bell.ring(logged);
      return result;
    },
  };
}
