/** One clock for all replicas, the database's: what a replica compares was written by others, and its machine's clock may be wrong. */
import type { Db } from './stores/db';
import type { Logger } from './logger';
import { runEvery, type Interval } from './flow/interval';
import { readStoreMs } from './store-clock.store';

/** Past this the machine's clock is said to be wrong; what is decided here is right all the same. */
const REPLICA_CLOCK_LIMIT_MS = 2000;
/** What two looks may differ by although nothing has changed, beside the time that they took. */
const JITTER_MS = 20;
const FOLLOW_MS = 5000;
/** At the start: the shortest way there and back says most. */
const FIRST_LOOKS = 3;

/** One question for the time. Milliseconds since 1970. */
export interface ClockLook {
  /** By the machine's clock. */
  askedMs: number;
  answeredMs: number;
  /** By the database's. */
  storeMs: number;
}

/**
 * What the machine's clock must be corrected by. One look only says that the database's time lay between question and
 * answer, so what fits it stays: a clock that is kept in step is never moved.
 */
export function correctClock(correctionMs: number, check: ClockLook): number {
  const foundMs = check.storeMs - (check.askedMs + check.answeredMs) / 2;
  const unsureMs = (check.answeredMs - check.askedMs) / 2 + JITTER_MS;
  return Math.abs(foundMs - correctionMs) > unsureMs ? foundMs : correctionMs;
}

/** From here on it runs by itself: a step of the machine's clock changes nothing. */
const machineMs = (): number => performance.timeOrigin + performance.now();

/** A process has one clock, as its machine has; so what corrects it is the process's, and is not handed around. */
let correctionMs = 0;

export const storeClock = {
  /** Milliseconds since 1970 by the database's clock. */
  nowMs: (): number => Math.floor(machineMs() + correctionMs),
  now: (): Date => new Date(storeClock.nowMs()),
  /** A time that another process of this machine took from the machine's clock. */
  fromMachine: (ms: number): number => ms - storeClock.machineOffsetMs(),
  /** By how much the machine's clock is ahead of the database's; negative where it is behind. */
  machineOffsetMs: (): number => Date.now() - storeClock.nowMs(),
} as const;

async function check(db: Db): Promise<ClockLook> {
  const askedMs = machineMs();
  const storeMs = await readStoreMs(db);
  return { askedMs, answeredMs: machineMs(), storeMs };
}

/** Before anything is decided. @throws where the database can't be asked */
export async function setStoreClock(db: Db): Promise<void> {
  let best: ClockLook | undefined;
  for (let i = 0; i < FIRST_LOOKS; i += 1) {
    const next = await check(db);
    if (!best || next.answeredMs - next.askedMs < best.answeredMs - best.askedMs) best = next;
  }
  correctionMs = correctClock(correctionMs, best!);
}

/** In words: 10 s slow. */
export const describeOffset = (offsetMs: number): string =>
  `${Math.abs(offsetMs / 1000).toFixed(1)} s ${offsetMs < 0 ? 'slow' : 'fast'}`;

/** Looks again and again, since a clock may be set at any time, and says where this machine's is wrong. */
export function followStoreClock(db: Db, logger: Logger, everyMs = FOLLOW_MS): Interval {
  let wasWrong = false;
  const say = (): void => {
    const offsetMs = storeClock.machineOffsetMs();
    const isWrong = Math.abs(offsetMs) > REPLICA_CLOCK_LIMIT_MS;
    if (isWrong && !wasWrong)
      logger.warn(
        { offsetMs, limitMs: REPLICA_CLOCK_LIMIT_MS },
        `this machine's clock is ${describeOffset(offsetMs)}: the database's is used instead. Set it (NTP): certificates are still checked by it`,
      );
    if (!isWrong && wasWrong) logger.info({ offsetMs }, "this machine's clock is right again");
    wasWrong = isWrong;
  };
  say();
  return runEvery("the database's clock", everyMs, logger, async () => {
    correctionMs = correctClock(correctionMs, await check(db));
    say();
  });
}
