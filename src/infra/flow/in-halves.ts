/** Runs a batch; where it fails it is halved until what can't be done stands alone: one bad item costs nobody else anything. */
import { isUnreachable } from '../stores/db';

/**
 * @param run does all of its items, or none
 * @param setAside told of each that fails by itself
 * @throws what says that a store is away: then nothing is known of any item, and all may be run again
 */
export async function runInHalves<T>(
  items: readonly T[],
  run: (items: readonly T[]) => Promise<void>,
  setAside: (item: T, error: unknown) => void,
): Promise<void> {
  if (items.length === 0) return;
  try {
    return await run(items);
  } catch (error) {
    if (isUnreachable(error)) throw error;
    if (items.length === 1) return setAside(items[0]!, error);
  }
  const middle = items.length >> 1;
  await runInHalves(items.slice(0, middle), run, setAside);
  await runInHalves(items.slice(middle), run, setAside);
}
