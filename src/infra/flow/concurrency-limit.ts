/** Lets only so many of a kind of work run at once: a thousand that wait for one database time out, all of them. */

export interface ConcurrencyLimit {
  /** Runs `work` in its turn. @throws ConcurrencyTimeout where its turn does not come in time */
  run<T>(work: () => Promise<T>): Promise<T>;
}

/** Nothing of the work was begun. */
export class ConcurrencyTimeout extends Error {
  override name = 'ConcurrencyTimeout';
}

/** @param waitMs how long work waits for its turn; for ever where it is left out */
export function createConcurrencyLimit(limit: number, waitMs?: number): ConcurrencyLimit {
  let free = limit;
  const waiting = new Set<() => void>();

  function take(): Promise<void> | undefined {
    if (free > 0) {
      free -= 1;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const timer =
        waitMs === undefined
          ? undefined
          : setTimeout(() => {
              waiting.delete(enter);
              reject(new ConcurrencyTimeout(`${limit} others were at work for ${waitMs} ms.`));
            }, waitMs);
      const enter = (): void => {
        clearTimeout(timer);
        resolve();
      };
      waiting.add(enter);
    });
  }
  function leave(): void {
    const [next] = waiting;
    if (!next) {
      free += 1;
      return;
    }
    waiting.delete(next);
    next();
  }
  return {
    async run(work) {
      await take();
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
