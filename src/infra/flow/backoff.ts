/** Exponential back-off: how long to wait before something that failed is tried again. */

export interface Backoff {
  firstMs: number;
  longestMs: number;
}

/** Keeps the power small enough for a number; every pause has reached its longest long before. */
const MOST_DOUBLINGS = 30;

/** The pause after so many failures in a row: the first, then twice as long each time, up to the longest. */
export function backoffMs(failures: number, { firstMs, longestMs }: Backoff): number {
  const doublings = Math.min(Math.max(failures, 1) - 1, MOST_DOUBLINGS);
  return Math.min(longestMs, firstMs * 2 ** doublings);
}
