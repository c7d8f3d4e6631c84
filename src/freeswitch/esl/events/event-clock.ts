/** Where a node's times become ours: nothing behind this border knows that its clock may be wrong. */

/** Follows one node's clock by what the node says, and reads its times by it. Milliseconds since 1970. */
export interface EventClock {
  /**
   * The node has just told this time as now.
   * @param askedMs when we asked for it, by our clock, where we did
   */
  hear(nodeMs: number, askedMs?: number): void;
  /** When something came about, by our clock. */
  read(nodeMs: number): number;
  /** When something is to end, by our clock: the node goes by its clock as it is now. */
  readDeadline(nodeMs: number): number;
}

/** Reads one time of a node. */
export type ReadTime = (nodeMs: number) => number;

/** For a connection whose times nobody uses. */
export const asTold: ReadTime = (nodeMs) => nodeMs;
