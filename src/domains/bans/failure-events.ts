/** Tells a domain that somebody tries to log in as its users: one event for each user and address in ten seconds. */
import { LRUCache } from 'lru-cache';
import type { Logger } from '../../infra/logger';
import type { Redis } from '../../infra/stores/redis';
import { runEvery, type Interval } from '../../infra/flow/interval';
import type { EventLog } from '../events/events';

export interface LoginFailure {
  domainId: string;
  userId: string;
  username: string;
  address: string;
  node: string;
  /** REGISTER, INVITE … */
  method: string;
}

export interface FailureEvents {
  add(failure: LoginFailure): void;
  open(): void;
  /** Tells what is left. */
  stop(): Promise<void>;
}

const APART_MS = 10_000;
const LOOK_MS = 200;
/** Users and addresses that wait to be told of; past this they are only counted in the metric. */
const MOST_WAITING = 10_000;
const TOLD_AT_ONCE = 200;

type Waiting = LoginFailure & { count: number; notBeforeMs: number };

export function createFailureEvents(o: {
  log: EventLog;
  redis: Redis;
  prefix: string;
  logger: Logger;
  now: () => number;
}): FailureEvents {
  const waiting = new Map<string, Waiting>();
  let schedule: Interval | undefined;

  const toldHere = new LRUCache<string, number>({ max: MOST_WAITING });
  function takeTurnHere(key: string): number {
    const againMs = (toldHere.get(key) ?? -Infinity) + APART_MS - o.now();
    if (againMs > 0) return againMs;
    toldHere.set(key, o.now());
    return 0;
  }

  /** The turn is the pool's, so that two replicas tell of the same no more often than one. @returns 0, or how long to wait */
  async function acquireLease(key: string): Promise<number> {
    const name = `${o.prefix}:guess:told:${key}`;
    try {
      if ((await o.redis.set(name, '1', 'PX', APART_MS, 'NX')) !== null) return 0;
      return Math.max(LOOK_MS, await o.redis.pttl(name));
    } catch {
      return takeTurnHere(key); // Redis is away: each replica tells of its own
    }
  }

  async function tell(due: readonly [string, Waiting][]): Promise<void> {
    const turns = await Promise.all(due.map(([key]) => acquireLease(key)));
    const told = due.filter(([, entry], i) => {
      entry.notBeforeMs = o.now() + turns[i]!;
      return turns[i] === 0;
    });
    if (told.length === 0) return;
    for (const [key] of told) waiting.delete(key);
    await record(told).catch((error: unknown) => {
      told.forEach(([key, entry]) => wait(key, entry, entry.count)); // told when Postgres is back
      throw error;
    });
  }

  function wait(key: string, failure: LoginFailure, count: number): void {
    const known = waiting.get(key);
    if (known) Object.assign(known, failure, { count: known.count + count });
    else if (waiting.size < MOST_WAITING) waiting.set(key, { ...failure, count, notBeforeMs: o.now() });
  }

  async function record(told: readonly [string, Waiting][]): Promise<void> {
    await o.log.record((_trx, emit) => {
      for (const [, { domainId, userId, username, address, node, method, count }] of told) {
        const data = { username, address, node, method, count };
        emit({ stream: domainId, type: 'user.login_failed', userId, data });
      }
      return Promise.resolve();
    });
  }

  const check = async (all = false): Promise<void> => {
    const due = [...waiting].filter(([, entry]) => all || entry.notBeforeMs <= o.now()).slice(0, TOLD_AT_ONCE);
    if (due.length > 0) await tell(due);
  };

  return {
    add: (failure) => wait(`${failure.userId}:${failure.address}`, failure, 1),
    open() {
      schedule = runEvery('failed logins', LOOK_MS, o.logger, () => check());
    },
    async stop() {
      await schedule?.stop();
      await check(true).catch((error: Error) =>
        o.logger.debug({ fault: error.message }, 'failed logins were not told'),
      );
    },
  };
}
