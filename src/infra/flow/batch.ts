/** Writes together what comes while a write is under way: a thousand nodes that report are some dozen statements. */

export interface Batch<T> {
  /** Resolves when the item is written. @throws what the write threw, for each item of it */
  add(item: T): Promise<void>;
}

/**
 * The first item is written at once and alone; what comes meanwhile goes together with the next write.
 * @param most items to a write
 */
export function createBatch<T>(most: number, write: (items: T[]) => Promise<void>): Batch<T> {
  let waiting: { item: T; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let running = false;

  async function drain(): Promise<void> {
    running = true;
    while (waiting.length > 0) {
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
