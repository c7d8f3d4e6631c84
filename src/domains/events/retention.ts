/** Old events are trimmed in small steps; readers that come too late are told of the gap. */
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import { storeClock } from '../../infra/store-clock';
import { trimEvents } from './events.store';

const STEP = 5000;
const MAX_STEPS = 1000;

/** Removes all events from before `before`. @returns how many */
export async function trimOldEvents(db: Db, before: Date): Promise<number> {
  let trimmed = 0;
  for (let step = 0; step < MAX_STEPS; step += 1) {
    const gone = await trimEvents(db, before, STEP);
    trimmed += gone;
    if (gone < STEP) break;
  }
  return trimmed;
}

/** Trims now and then until it is stopped; several replicas may do so at once. */
export function startEventRetention(o: {
  db: Db;
  logger: Logger;
  keepMs: number;
  everyMs: number;
  now?: () => number;
}): { stop(): void } {
  const now = o.now ?? storeClock.nowMs;
  const trim = () => {
    trimOldEvents(o.db, new Date(now() - o.keepMs)).then(
      (count) => count > 0 && o.logger.info({ count }, 'old events trimmed'),
      (error: Error) => o.logger.warn({ fault: error.message }, 'old events could not be trimmed'),
    );
  };
  const timer = setInterval(trim, o.everyMs);
  return { stop: () => clearInterval(timer) };
}
