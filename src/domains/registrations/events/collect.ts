/** Gathers what all nodes tell of phones within a few milliseconds, so that a morning's thousand phones are some dozen transactions. */
import { createBatch } from '../../../infra/flow/batch';
import { isUnreachable } from '../../../infra/stores/db';
import type { RegistrationDeps } from '../registrations';
import { handleRegistrationEvents, type PhoneEvent } from './registration-events';

export interface PhoneEvents {
  /** Taken in soon, behind all that was added before. Nobody waits for it. */
  add(one: PhoneEvent): void;
  /** What was added until now is taken in: before a node is compared, or given up. */
  settled(): Promise<void>;
  /** The same, and no longer tries again while the database is away. */
  stop(): Promise<void>;
}

const WAIT_MS = 5;
const MOST = 500;
/** Kept while the database is away; past this phones are known by their next REGISTER. */
const BACKLOG_LIMIT = 20_000;
const DB_RETRY_MS = 250;

export function collectPhoneEvents(deps: RegistrationDeps): PhoneEvents {
  let count = 0;
  let stopped = false;
  let last: Promise<void> = Promise.resolve();

  async function takeIn(events: PhoneEvent[]): Promise<void> {
    for (;;) {
      try {
        return await handleRegistrationEvents(deps, events);
      } catch (error) {
        if (stopped || !isUnreachable(error)) {
          deps.logger.error({ err: error, events: events.length }, 'reports of phones could not be taken in');
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, DB_RETRY_MS));
      }
    }
  }
  const batch = createBatch<PhoneEvent>(MOST, takeIn, WAIT_MS);

  return {
    add(one) {
      // What other events tell nothing of phones is most of what a node tells.
      if (one.event.type === 'channel' && !one.event.registrationId) return;
      if (count >= BACKLOG_LIMIT) return;
      count += 1;
      last = batch.add(one).finally(() => (count -= 1));
    },
    settled: () => last,
    async stop() {
      stopped = true;
      await last;
    },
  };
}
