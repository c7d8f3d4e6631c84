/** Keeps the reasons of a choice short: a thousand nodes' scores with every call would outgrow all else that is stored. */
import type { Considered } from './select-node';

/** A pool of no more nodes than this has all of them explained. */
export const CONSIDERED_KEPT = 50;
/** Enough of those that could not take the call to see why. */
const EACH_REFUSAL = 5;

/**
 * The chosen one, some of each kind of refusal, and the best scored, in the order they came.
 * @returns how many are left out beside them
 */
export function shortenReport(
  considered: readonly Considered[],
  chosenNodeId: string | null,
): { kept: Considered[]; leftOut: number } {
  if (considered.length <= CONSIDERED_KEPT) return { kept: [...considered], leftOut: 0 };
  const keep = new Set<Considered>(considered.filter((entry) => entry.nodeId === chosenNodeId));
  const refusals = new Map<string, number>();
  for (const entry of considered) {
    if (!entry.rejected || keep.size >= CONSIDERED_KEPT) continue;
    const count = refusals.get(entry.rejected) ?? 0;
    if (count < EACH_REFUSAL) keep.add(entry);
    refusals.set(entry.rejected, count + 1);
  }
  const best = considered.filter((entry) => entry.score !== null).sort((a, b) => b.score! - a.score!);
  for (const entry of best) {
    if (keep.size >= CONSIDERED_KEPT) break;
    keep.add(entry);
  }
  return { kept: considered.filter((entry) => keep.has(entry)), leftOut: considered.length - keep.size };
}

/** Nothing where none is left out. */
export const explainLeftOut = (leftOut: number): string[] =>
  leftOut > 0
    ? [`${leftOut} more nodes were considered: no better score, or refused for the same reasons as these.`]
    : [];
