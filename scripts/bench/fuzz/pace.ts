/** Measures whether work grows with its input and not with its square: times of one run beside each other, by ratio. */
import { must } from './target';

/** The larger input is this many times the smaller. Linear work takes 8 times as long, quadratic 64 times. */
export const GROWTH = 8;
/** Between linear and quadratic, on a machine that others use as well. */
const MOST = 24;
/** What is done in this time is never held against it: clocks and collectors weigh more. */
const FLOOR_MS = 15;
const TRIES = 3;
/** A limit in milliseconds is met once or never: a collector at work in a large heap must not decide it. */
const QUICK_TRIES = 6;

/** In milliseconds of the processor: what others of a busy machine take is not counted. */
function fastest(times: number, work: () => void): number {
  let best = Infinity;
  for (let i = 0; i < times; i += 1) {
    const from = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(from);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

/** @param work is given a number of copies: 1 or 8 times as many @throws OracleFault where eight times as much takes longer */
export function mustBeLinear(what: string, work: (times: number) => void): void {
  let said = '';
  for (let i = 0; i < TRIES; i += 1) {
    const large = fastest(1, () => work(GROWTH));
    if (large < FLOOR_MS) return;
    const small = fastest(3 + i, () => work(1));
    const ratio = large / Math.max(small, 0.05);
    if (ratio < MOST) return;
    said = `${what}: ${GROWTH} times as much took ${ratio.toFixed(0)} times as long (${small.toFixed(2)} and ${large.toFixed(2)} ms)`;
  }
  must(said === '', said);
}

/** @throws OracleFault where the work takes longer, several times over */
export function mustBeQuick(what: string, limitMs: number, work: () => void): void {
  let best = Infinity;
  for (let i = 0; i < QUICK_TRIES && best > limitMs; i += 1) best = Math.min(best, fastest(1, work));
  must(best <= limitMs, () => `${what} took ${best.toFixed(0)} ms, and may take ${limitMs} ms`);
}

/** The same for work that waits. */
export async function mustBeQuickAsync(what: string, limitMs: number, work: () => Promise<void>): Promise<void> {
  let best = Infinity;
  for (let i = 0; i < QUICK_TRIES && best > limitMs; i += 1) {
    const from = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(from);
    best = Math.min(best, (user + system) / 1000);
  }
  must(best <= limitMs, () => `${what} took ${best.toFixed(0)} ms, and may take ${limitMs} ms`);
}
