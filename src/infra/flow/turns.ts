/** Work of one kind for many: that of one and the same runs one after the other, that of others beside it. */

export interface Turns {
  /** Runs behind what was added under the same key. Nobody waits for it. */
  add(key: string, work: () => Promise<void>): void;
  /** What was added until now has run. */
  settled(): Promise<void>;
}

/** @param onFault told what a piece of work threw; what comes behind it runs all the same */
export function createTurns(onFault: (error: unknown) => void): Turns {
  const tails = new Map<string, Promise<void>>();
  return {
    add(key, work) {
      const tail: Promise<void> = (tails.get(key) ?? Promise.resolve())
        .then(work)
        .catch(onFault)
        .finally(() => {
          if (tails.get(key) === tail) tails.delete(key);
        });
      tails.set(key, tail);
    },
    async settled() {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}

/**
 * Many ask for the same in one go, and it is done once for all of them, behind them.
 * @returns asks for it. @throws what it threw, for each who asked
 */
export function createCoalesced(work: (key: string) => Promise<void>): (key: string) => Promise<void> {
  const asked = new Map<string, Promise<void>>();
  return (key) => {
    const known = asked.get(key);
    if (known) return known;
    const run = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      asked.delete(key); // whoever asks from here on may know of more
      return work(key);
    });
    asked.set(key, run);
    return run;
  };
}
