/** Keeps few connections that have not said which stream they bring: a stranger must not fill the listener for a node. */
import { countedAddress } from '../../bans/addresses';

export interface UnnamedLimits {
  perAddress: number;
  inAll: number;
}

export interface Unnamed {
  /** @param close is called where another one takes its place @returns says that it is named or gone; undefined: no room */
  admit(address: string, close: () => void): (() => void) | undefined;
  readonly count: number;
}

/**
 * One address may have few. Where all places are taken, the oldest of the address that has most makes room: a node names
 * its stream within milliseconds, so whoever waits longer than others is hardly one.
 */
export function createUnnamed(limits: UnnamedLimits): Unnamed {
  /** By address in the order of their coming. */
  const waiting = new Map<string, Set<() => void>>();
  let count = 0;

  function leave(group: string, close: () => void): void {
    const closers = waiting.get(group);
    if (!closers?.delete(close)) return;
    count -= 1;
    if (closers.size === 0) waiting.delete(group);
  }

  function makeRoom(): void {
    let [most] = waiting;
    for (const entry of waiting) if (entry[1].size > most![1].size) most = entry;
    const [oldest] = most![1];
    leave(most![0], oldest!);
    oldest!();
  }

  return {
    get count() {
      return count;
    },
    admit(address, close) {
      const group = countedAddress(address);
      if ((waiting.get(group)?.size ?? 0) >= limits.perAddress) return undefined;
      if (count >= limits.inAll) makeRoom();
      // Only now: who made room may have been the last of this very address.
      const closers = waiting.get(group) ?? new Set();
      waiting.set(group, closers.add(close));
      count += 1;
      return () => leave(group, close);
    },
  };
}
