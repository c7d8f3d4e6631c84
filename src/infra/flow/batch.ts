/** Writes together what comes while a write is under way: a thousand nodes that report are some dozen statements. */

export interface Batch<T> {
  /** Resolves when the item is written. @throws what the write threw, for each item of it */
  add(item: T): Promise<void>;
}

/**
 * What comes while a write is under way goes together with the next one.
 * @param most items to a write
 * @param waitMs how long a write waits for more that may go with it; left out, the first item is written at once and alone
 */
export function createBatch<T>(most: number, write: (items: T[]) => Promise<void>, waitMs = 0): Batch<T> {
  let waiting: { item: T; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let running = false;

  async function drain(): Promise<void> {
    running = true;
    while (waiting.length > 0) {
      if (waitMs > 0 && waiting.length < most) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const batch = waiting.slice(0, most);
      waiting = waiting.slice(most);
      try {
        await write(batch.map(({ item }) => item));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    running = false;
  }

  return {
    add: (item) =>
      new Promise<void>((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        if (!running) void drain();
      }),
  };
}
