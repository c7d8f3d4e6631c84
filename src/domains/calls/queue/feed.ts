/** Brings calls into the fair queue and wakes what waits there, by the events that say so: none of them can be forgotten. */
import type { Logger } from '../../../infra/logger';
import type { EventBell } from '../../events/events';
import type { FairQueue } from './fair-queue';

type Fed = Pick<FairQueue, 'add' | 'resumeDomain'>;

/** What an event of a call means for the queue of its domain. */
const MEANINGS: Readonly<Record<string, 'waits' | 'rings no more' | 'is over'>> = {
  'call.queued': 'waits',
  'call.retrying': 'waits',
  'call.answered': 'rings no more',
  'call.ended': 'is over',
};

/** @returns to be rung after each transaction. While Redis is away a call waits in Postgres, and the sweep queues it. */
export function createDialFeed(queue: Fed, logger: Logger): EventBell {
  async function tell(domainId: string, type: string, callId: string): Promise<void> {
    const meaning = MEANINGS[type];
    if (!meaning) return;
    if (meaning === 'waits') return queue.add({ domainId, callId });
    await queue.resumeDomain(domainId, meaning === 'is over' ? callId : undefined);
  }
  return {
    ring(events) {
      for (const { stream, type, callId } of events) {
        if (callId === null || !(type in MEANINGS)) continue;
        tell(stream, type, callId).catch((error: unknown) => {
          logger.debug({ err: error, callId, type }, 'the queue was not told of a call: the sweep does it');
        });
      }
    },
  };
}
