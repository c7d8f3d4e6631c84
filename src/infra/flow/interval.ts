/** Runs something again and again, never twice at once, until its owner stops it. */
import type { Logger } from '../logger';

export interface Interval {
  stop(): Promise<void>;
}

/** The pause counts from the end of a run. A failure is said once, and again when it is over. */
export function runEvery(name: string, intervalMs: number, logger: Logger, run: () => Promise<void>): Interval {
  let stopped = false;
  let failing = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();

  const next = (): void => {
    if (stopped) return;
    timer = setTimeout(() => {
      running = run()
        .then(() => {
          if (failing) logger.info({ schedule: name }, 'works again');
          failing = false;
        })
        .catch((error: unknown) => {
          if (!failing && !stopped) logger.warn({ err: error, schedule: name }, 'failed; it is tried again');
          failing = true;
        })
        .finally(next);
    }, intervalMs);
  };
  next();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
