/** A deadline for work that has none of its own: the timer ends with the work, and late results are dropped. */

/**
 * Waits for `work`, but no longer than `timeoutMs`. The work itself goes on: give it a signal where it can be stopped.
 * @param onLate what is returned instead; throw to reject
 */
export async function withDeadline<T, L = never>(work: Promise<T>, timeoutMs: number, onLate: () => L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  }).then(onLate);
  // A race settles with the first and listens to both, so that a late rejection is not an unhandled one.
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
