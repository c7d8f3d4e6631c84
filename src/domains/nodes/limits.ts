/** One table of the limits by which nodes are judged, so that an operator finds every number in one place. */

/** Reports of a node. The period is HEARTBEAT_SECONDS. */
const HEARTBEATS_MISSED = 3;
/** A report is on its way for a moment, and the clock of a busy node's timer is late: not yet a sign of death. */
const REPORT_GRACE_MS = 1000;

/** Milliseconds after which a node's last report says nothing about now: the node is `silent` and gets no call. */
export function reportLimitMs(heartbeatSeconds: number): number {
  return heartbeatSeconds * HEARTBEATS_MISSED * 1000 + REPORT_GRACE_MS;
}

export const LIMITS = {
  /** From this share of the report limit on a node is `stale`: it gets calls only where no other node can take them. */
  lateShare: 0.6,
  /** A node refused for its processor comes back only with this much more idle CPU than NODE_MIN_IDLE_CPU_PERCENT. */
  idleCpuReturnPercent: 10,
  /** A node that was full is taken last until no more than this share of its capacity is claimed. */
  fullReturnShare: 0.9,
  /** FreeSWITCH counts a session for each leg; two for an ordinary call. */
  sessionsPerCall: 2,
} as const;

/** Health beyond the heartbeat; see health.ts and probe.ts. */
export const HEALTH = {
  /** A node is passed over after so many failed checks in a row, */
  failuresToLeave: 3,
  /** and taken again after so many good ones: a node that is well every other time is not well. */
  successesToReturn: 3,
  /** A conference command takes a millisecond on a node that is well; one with a stuck room never answers. */
  commandTimeoutMs: 3000,
  webSocketTimeoutMs: 3000,
  /** A list of rooms this long makes the check rarer, so that it is no load by itself. */
  bytesPerInterval: 100_000,
  /** What is seen is written this often where nothing changes: a thousand nodes are checked every few seconds. */
  writeEveryMs: 30_000,
} as const;

/** The synthetic call; see canary.ts. */
export const CANARY = {
  /** From the first command to the verdict. */
  deadlineMs: 15_000,
  /** Two legs with sound in a mixed room. */
  units: 2,
  /** A node with less left is doing its work: nothing is taken from it to prove it. */
  mostUsedShare: 0.9,
  /** How soon it is tried again on a node that failed it. */
  retryMs: 15_000,
  /** How much of the tone is listened to. */
  listenMs: 1000,
} as const;

/** How a node's capacity follows what its machine reports; see effective-capacity.ts. */
export const EFFECTIVE_CAPACITY = {
  /** A node is full at this share of its machine's processors: sound breaks up well before all of them are busy. */
  fullCpuShare: 0.8,
  /** So much more or less of its processors than the claims let expect is no sign: an idle system needs a little too. */
  toleranceShare: 0.1,
  /** The bounds, in shares of what the node says of itself. */
  leastShare: 0.25,
  mostShare: 1.5,
  /** More than nominal is believed only of a node on which this share of the nominal capacity is in use. */
  proofShare: 0.5,
  /** Time constants: down within half a minute, since people hear it; up slowly, since a lull proves little. */
  downMs: 30_000,
  upMs: 300_000,
} as const;

/** When the pool should grow or shrink; see pool/scaling-advice.ts. Percent of the effective capacity that is claimed. */
export const SCALING = {
  targetPercent: 60,
  /** Grows above target + this, shrinks only where the rest would stay below target − this. */
  bandPercent: 10,
  /** Most nodes named in one recommendation, so that a wrong report can't empty a pool. */
  mostAtOnce: 5,
} as const;

/** A node's clock; see clock/. Its times are read by ours whatever it says, so a node whose clock is wrong serves. */
export const CLOCK = {
  /** Past this it is said to be wrong, and set where that harms nobody. */
  limitMs: 2000,
  /** It is right again below this. */
  returnMs: 1000,
  /** FreeSWITCH keeps a registration a minute longer than it says: so far a clock is set forward under phones. */
  forwardMs: 55_000,
  /** How often the node is asked for its time, and how soon where its events look late. */
  askEveryMs: 10_000,
  lookMs: 1000,
  /** How soon a machine whose clock is wrong is tried again. */
  retryMs: 60_000,
  /** What is seen is written where it has changed by so much, and else so often. */
  tellMs: 10,
  writeEveryMs: 60_000,
} as const;
