/** What happens next to a relay, as pure decisions: when to try again, when to give up, and when nothing flows. */
import { backoffMs } from '../../infra/flow/backoff';

export type RelayState =
  'waiting' | 'checking' | 'starting' | 'live' | 'restarting' | 'stopping' | 'stopped' | 'failed';

/** A time in which the target got nothing although it should have. `to` is null while it lasts. */
export interface Gap {
  from: string;
  to: string | null;
  reason: string;
}

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** A relay that was live this long has shown that it works: its tries are counted again. */
const STEADY_MS = 60_000;
/** Older gaps than these leave the list; their length stays in the sum. */
const GAPS_KEPT = 100;
/** Our own process may die so often under a relay before that counts against it: one whose target kills it has to end. */
const PROCESS_DEATHS = 20;
/** The last bytes, the end of the room and our look at it are not at one moment. */
const ROOM_END_SLACK_MS = 4000;

/** 1 s, 2 s, 4 s … 30 s. @param tries failures in a row, this one included */
export const pauseBeforeTry = (tries: number): number =>
  backoffMs(tries, { firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS });

/** What becomes of a relay whose sending failed. @param isOurs the relay process died, which is no fault of the relay */
export function decideAfterFailure(
  relay: { tries: number; restarts: number; max_restarts: number; live_since: Date | null },
  now: Date,
  isOurs = false,
): { state: 'restarting'; tries: number; restarts: number; nextTryAt: Date } | { state: 'failed'; tries: number } {
  const wasSteady = relay.live_since !== null && now.getTime() - relay.live_since.getTime() >= STEADY_MS;
  const tries = (wasSteady ? 0 : relay.tries) + 1;
  const allowed = isOurs ? Math.max(PROCESS_DEATHS, relay.max_restarts) : relay.max_restarts;
  if (tries > allowed) return { state: 'failed', tries };
  const nextTryAt = new Date(now.getTime() + pauseBeforeTry(tries));
  return { state: 'restarting', tries, restarts: relay.restarts + 1, nextTryAt };
}

/** Begins a gap, where none is open. */
export function openGap(gaps: readonly Gap[], from: Date, reason: string): Gap[] {
  if (gaps.at(-1)?.to === null) return [...gaps];
  return [...gaps, { from: from.toISOString(), to: null, reason }].slice(-GAPS_KEPT);
}

/** Ends the open gap. @returns the list, and the milliseconds of the gap that was ended (0 where none was open). */
export function closeGap(gaps: readonly Gap[], to: Date): { gaps: Gap[]; closed: Gap | undefined; ms: number } {
  const last = gaps.at(-1);
  if (!last || last.to !== null) return { gaps: [...gaps], closed: undefined, ms: 0 };
  const closed = { ...last, to: to.toISOString() };
  return { gaps: [...gaps.slice(0, -1), closed], closed, ms: Math.max(0, to.getTime() - Date.parse(last.from)) };
}

/** A room that ends takes its streams with it: a gap that began only then is none, and an older one ends there. */
export function endGapWithRoom(gaps: readonly Gap[], endedAt: Date): { gaps: Gap[]; ms: number } {
  const last = gaps.at(-1);
  if (!last || last.to !== null) return { gaps: [...gaps], ms: 0 };
  if (Date.parse(last.from) >= endedAt.getTime() - ROOM_END_SLACK_MS) return { gaps: gaps.slice(0, -1), ms: 0 };
  return closeGap(gaps, endedAt);
}

/** How often a sending relay is looked at. */
export const LOOK_EVERY_MS = 1000;

/** What is seen of a sending relay at one moment. All are counts of bytes since it began. */
export interface FlowSample {
  atMs: number;
  /** Came from the node. */
  received: number;
  /** Was given to the target's connection. */
  given: number;
  /** Of that: waits in this process. */
  waiting: number;
  /** Of that: left this process, but the target's machine has not taken it; undefined where that can't be seen. */
  untaken?: number;
  /** What the target says it has read; undefined where it never says. */
  acknowledged?: number;
}

export interface FlowState {
  /** When it was last looked at, and how long it had run by then: the time in which we stood still ourselves left out. */
  lookedAtMs: number;
  ranMs: number;
  /** What the target has taken, and when that last grew. */
  taken: number;
  takenAtMs: number;
  takenRanMs: number;
  acknowledged: number;
  acknowledgedRanMs: number;
  /** The shortest step in which it said so, in bytes: some servers say it when they like, not when they are asked to. */
  acknowledgeStep: number;
  received: number;
  receivedRanMs: number;
}

export type FlowVerdict = 'flows' | 'source_silent' | 'target_stalled' | 'target_too_slow';

export interface FlowLimits {
  /** Nothing came from the node for so long. */
  silenceMs: number;
  /** Bytes wait for the target, and it has taken none for so long. */
  stallMs: number;
  /** More than this may not wait: the target is too slow for the stream. */
  maxWaitingBytes: number;
  /** The target was asked to say when it has read this much; it is late when so much more was sent and nothing said. */
  acknowledgeEveryBytes: number;
}

export const FLOW_LIMITS: FlowLimits = {
  silenceMs: 8000,
  stallMs: 5000,
  maxWaitingBytes: 8 * 1024 * 1024,
  acknowledgeEveryBytes: 4096,
};

export function startFlow(sample: FlowSample): FlowState {
  const { atMs, received } = sample;
  return {
    lookedAtMs: atMs,
    ranMs: 0,
    taken: takenOf(sample),
    takenAtMs: atMs,
    takenRanMs: 0,
    acknowledged: sample.acknowledged ?? 0,
    acknowledgedRanMs: 0,
    acknowledgeStep: sample.acknowledged || Infinity,
    received,
    receivedRanMs: 0,
  };
}

const takenOf = (s: FlowSample): number => s.given - s.waiting - (s.untaken ?? 0);

/**
 * Judges by what moved since the last look. A machine that takes bytes into its buffers proves less than a server that
 * says it read them. A look that comes far too late says that we stood still ourselves, and nothing of the others.
 */
export function judgeFlow(
  before: FlowState,
  sample: FlowSample,
  limits: FlowLimits,
): { verdict: FlowVerdict; state: FlowState } {
  const sinceMs = sample.atMs - before.lookedAtMs;
  const ranMs = before.ranMs + (sinceMs > 2 * LOOK_EVERY_MS ? LOOK_EVERY_MS : sinceMs);
  const taken = takenOf(sample);
  const acknowledged = sample.acknowledged ?? 0;
  const open = sample.waiting + (sample.untaken ?? 0);
  const unread = (sample.given - acknowledged) % 2 ** 32;
  const step = acknowledged - before.acknowledged;
  const acknowledgeStep = step > 0 ? Math.min(before.acknowledgeStep, step) : before.acknowledgeStep;
  const isQuiet =
    sample.acknowledged === undefined || unread < 2 * Math.max(acknowledgeStep, limits.acknowledgeEveryBytes);
  const isTaken = taken > before.taken || open === 0;
  const state: FlowState = {
    lookedAtMs: sample.atMs,
    ranMs,
    taken: Math.max(taken, before.taken),
    takenAtMs: isTaken ? sample.atMs : before.takenAtMs,
    takenRanMs: isTaken ? ranMs : before.takenRanMs,
    acknowledged,
    acknowledgedRanMs: acknowledged !== before.acknowledged || isQuiet ? ranMs : before.acknowledgedRanMs,
    acknowledgeStep,
    received: sample.received,
    receivedRanMs: sample.received > before.received ? ranMs : before.receivedRanMs,
  };
  const oldest = Math.min(state.takenRanMs, state.acknowledgedRanMs);
  if (sample.waiting > limits.maxWaitingBytes) return { verdict: 'target_too_slow', state };
  if (ranMs - oldest >= limits.stallMs) return { verdict: 'target_stalled', state };
  if (ranMs - state.receivedRanMs >= limits.silenceMs) return { verdict: 'source_silent', state };
  return { verdict: 'flows', state };
}
