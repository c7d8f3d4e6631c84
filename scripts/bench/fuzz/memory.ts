/** Measures what stays in memory: a peer that sends little must not make us keep much. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collect: (() => void) | undefined;

function collectGarbage(): void {
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}

const held = (): number => {
  // What the first frees of buffers is counted out while the next ones run.
  for (let i = 0; i < 3; i += 1) collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** @returns bytes that are kept as long as what `make` gives back is */
export function heldBytes(make: () => unknown): number {
  const before = held();
  const kept = make();
  const after = held();
  return kept === undefined ? 0 : after - before;
}
