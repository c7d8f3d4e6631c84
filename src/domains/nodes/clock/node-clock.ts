/** What is known of a node's clock, and what its times are by ours: pure, from nothing but what it told and when it came. */

/** A difference as large is no delay and no drift: the clock was set. */
const CLOCK_STEP_MS = 250;
/** How late a step may be noticed: the node is asked every ten seconds, and whenever its events look late. */
const NOTICED_WITHIN_MS = 12_000;
/** Records may come hours later, and tell times from before a step. */
const REMEMBERED_MS = 86_400_000;
const MOST_STEPS = 16;

/** Offsets are milliseconds that the node's clock is ahead of ours; negative where it is behind. */
export interface NodeClock {
  offsetMs: number;
  /** What it was before, the oldest first, each until then by our clock. */
  past: { offsetMs: number; untilMs: number }[];
}

/** A node told its time. */
export interface ToldTime {
  nodeMs: number;
  /** When it reached us, by our clock. */
  arrivedMs: number;
  /** When we asked for it, where we did. */
  askedMs?: number;
}

/**
 * What is told now was true before it arrived, and not before it was asked for: so its clock is ahead by no less than
 * what it tells beyond the arrival (the smallest delay counts), and by no more than what it tells beyond the question.
 * What fits between the two changes nothing; what does not is a drift, or where it is large, a step, known at once.
 */
export function hearTime(clock: NodeClock | null, told: ToldTime): NodeClock {
  const least = told.nodeMs - told.arrivedMs;
  const most = told.askedMs === undefined ? Infinity : Math.max(least, told.nodeMs - told.askedMs);
  const found = most === Infinity ? least : Math.round((least + most) / 2);
  if (!clock) {
    // A clock that may be right is: nothing is corrected by what was only slow.
    const mayBeRight = least <= 0 && (most === Infinity ? least > -CLOCK_STEP_MS : most >= 0);
    return { offsetMs: mayBeRight ? 0 : found, past: [] };
  }
  if (clock.offsetMs >= least && clock.offsetMs <= most) return clock;
  if (Math.abs(found - clock.offsetMs) < CLOCK_STEP_MS) {
    return { ...clock, offsetMs: clock.offsetMs < least ? least : most };
  }
  const past = [...clock.past, { offsetMs: clock.offsetMs, untilMs: told.arrivedMs }];
  return {
    offsetMs: found,
    past: past.filter(({ untilMs }) => untilMs > told.arrivedMs - REMEMBERED_MS).slice(-MOST_STEPS),
  };
}

/** Whether what was told came late, or the clock was set back: only asking tells which. */
export const isDoubtful = (clock: NodeClock, told: ToldTime): boolean =>
  told.nodeMs - told.arrivedMs < clock.offsetMs - CLOCK_STEP_MS;

/**
 * A time of the node's by our clock. One from before a step is read as the clock was then; where it fits both before
 * and after (the clock was set back), the later is taken.
 * @param nowMs by our clock: nothing has come about after it
 */
export function readTime(clock: NodeClock | null, nodeMs: number, nowMs: number): number {
  if (!clock) return nodeMs;
  const soonMs = nowMs + CLOCK_STEP_MS;
  const now = nodeMs - clock.offsetMs;
  let untilMs = soonMs;
  for (let i = clock.past.length; i >= 0; i -= 1) {
    const ours = nodeMs - (i === clock.past.length ? clock.offsetMs : clock.past[i]!.offsetMs);
    const fromMs = i === 0 ? -Infinity : clock.past[i - 1]!.untilMs - NOTICED_WITHIN_MS;
    if (ours <= untilMs && ours >= fromMs) return ours;
    untilMs = i === 0 ? untilMs : clock.past[i - 1]!.untilMs;
  }
  return now;
}

/**
 * FreeSWITCH plans its HEARTBEATs by its time of day: a clock that was set back keeps it silent until it is as late again.
 * @returns until when that explains a silence, by our clock; -Infinity where nothing does
 */
export const silentUntilMs = (clock: NodeClock): number =>
  clock.past.reduce((latest, step) => {
    const backMs = step.offsetMs - clock.offsetMs;
    return backMs > 0 ? Math.max(latest, step.untilMs + backMs) : latest;
  }, -Infinity);
