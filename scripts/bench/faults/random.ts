/** One seed says the whole run, so that a run that found something can be had again. */
import { createSeededRandom } from '../../../src/infra/random';

export interface Random {
  /** From 0 up to, but not, 1. */
  next(): number;
  /** A whole number from `from` to `to`, both included. */
  int(from: number, to: number): number;
  pick<T>(list: readonly T[]): T;
  /** True in so many of a hundred cases. */
  chance(percent: number): boolean;
  /** One of the names, as often as its weight says. */
  weighed<K extends string>(weights: Readonly<Record<K, number>>): K;
}

export function createRandom(seed: number): Random {
  const next = createSeededRandom(seed);
  const random: Random = {
    next,
    int: (from, to) => from + Math.floor(next() * (to - from + 1)),
    pick: (list) => list[Math.floor(next() * list.length)]!,
    chance: (percent) => next() * 100 < percent,
    weighed(weights) {
      const names = Object.keys(weights) as (keyof typeof weights)[];
      let at = next() * names.reduce((sum, name) => sum + weights[name], 0);
      for (const name of names) if ((at -= weights[name]) < 0) return name;
      return names.at(-1)!;
    },
  };
  return random;
}
