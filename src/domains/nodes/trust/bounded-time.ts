/** Takes a time that a node tells only within what can be true: not before what it is about began, and not in the future. */

/** Clocks that are kept in step differ by less; past this a node's clock is wrong, or lies. */
export const CLOCK_TOLERANCE_MS = 5000;

export interface BoundedTime {
  at: Date;
  /** The node's own word could not be true. */
  isMoved: boolean;
}

/**
 * A time that is a little too early or late is the nearest that can be true. One that is far off says nothing: then it is
 * when we heard of it, so that with a wrong clock at least what lies between two events stays right.
 * @param sinceMs when that began which it is about @param nowMs milliseconds since 1970
 */
export function boundTime(claimedMs: number, sinceMs: number, nowMs: number): BoundedTime {
  const from = Math.min(sinceMs, nowMs);
  const isNear = claimedMs >= from - CLOCK_TOLERANCE_MS && claimedMs <= nowMs + CLOCK_TOLERANCE_MS;
  if (!isNear) return { at: new Date(nowMs), isMoved: true }; // NaN is not near either
  return { at: new Date(Math.min(Math.max(claimedMs, from), nowMs)), isMoved: false };
}

/** The times of one leg as its record tells them; null: it did not come to that. */
export interface RecordTimes {
  ringingMs: number | null;
  answeredMs: number | null;
  bridgedMs: number | null;
  endedMs: number | null;
}

/**
 * A record is told when its leg has ended. Where its end can't be true the whole of it is moved to end now, since what
 * lies between its times is counted by a clock that runs evenly; what is out of the call's own time even then is cut off.
 */
export function boundRecord(
  times: RecordTimes,
  sinceMs: number,
  nowMs: number,
): { ringingAt: Date | null; answeredAt: Date | null; bridgedAt: Date | null; endedAt: Date; isMoved: boolean } {
  const end = boundTime(times.endedMs ?? nowMs, sinceMs, nowMs);
  const endMs = end.at.getTime();
  const shiftMs = end.isMoved ? endMs - (times.endedMs ?? endMs) : 0;
  const from = Math.min(sinceMs, endMs);
  let isMoved = end.isMoved;
  const within = (ms: number | null): Date | null => {
    if (ms === null) return null;
    const moved = ms + shiftMs;
    if (moved < from - CLOCK_TOLERANCE_MS || moved > endMs + CLOCK_TOLERANCE_MS) isMoved = true;
    return new Date(Math.min(Math.max(moved, from), endMs));
  };
  const ringingAt = within(times.ringingMs);
  const answeredAt = within(times.answeredMs);
  const bridgedAt = within(times.bridgedMs);
  return { ringingAt, answeredAt, bridgedAt, endedAt: end.at, isMoved };
}

/** What two measured clocks, or a measured one at two times, may differ by. */
const CLOCK_ERROR_MS = 1000;

/** Of two things that came about one after the other the later is not told as the earlier, where only measuring says so. */
export const putInOrder = (earlier: Date | null | undefined, later: Date): Date =>
  earlier && later < earlier && earlier.getTime() - later.getTime() < CLOCK_ERROR_MS ? earlier : later;
