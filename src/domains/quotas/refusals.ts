/** Tells of refusals: each in a metric and a log line, and in the domain's events once a minute for each quota. */
import { LRUCache } from 'lru-cache';
import { SwitchyardError, type QuotaFault } from '../../errors';
import type { Logger } from '../../infra/logger';
import type { Redis } from '../../infra/stores/redis';
import type { EventLog } from '../events/events';
import { explainRefusal, type QuotaName } from './catalogue';

export interface Refusal extends QuotaFault {
  quota: QuotaName;
  retryAfterMs?: number;
}

export interface RefusalsDeps {
  log: EventLog;
  logger: Logger;
  redis: Redis;
  prefix: string;
  now: () => number;
  countRefusal: (quota: string) => void;
}

export interface Refusals {
  /** Nobody waits for it: the one who is refused is answered at once. */
  note(domainId: string, refusal: Refusal): void;
  /** Waits for what is under way. */
  stop(): Promise<void>;
}

const TOLD_EVERY_MS = 60_000;
const MOST_REMEMBERED = 10_000;

/** The failure that a caller is told. */
export function quotaExceeded(refusal: Refusal): SwitchyardError {
  const { quota, limit, used, retryAfterMs } = refusal;
  return new SwitchyardError('quota_exceeded', explainRefusal(quota, limit), {
    quota: { quota, limit, used },
    retryAfterMs,
  });
}

export function createRefusals(deps: RefusalsDeps): Refusals {
  const { log, logger, redis, prefix, now } = deps;
  const toldAtMs = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  const underWay = new Set<Promise<void>>();

  /** One replica tells it; while Redis is away each does, so nobody is told nothing. */
  const isFirst = (domainId: string, quota: string): Promise<boolean> =>
    redis.set(`${prefix}:quota-told:${domainId}:${quota}`, '1', 'PX', TOLD_EVERY_MS, 'NX').then(
      (said) => said === 'OK',
      () => true,
    );

  async function tell(domainId: string, { quota, limit, used }: Refusal): Promise<void> {
    if (!(await isFirst(domainId, quota))) return;
    await log.record((_trx, emit) => {
      emit({ stream: domainId, type: 'quota.exceeded', data: { quota, limit, used } });
      return Promise.resolve();
    });
  }

  return {
    note(domainId, refusal) {
      deps.countRefusal(refusal.quota);
      const key = `${domainId} ${refusal.quota}`;
      const before = toldAtMs.get(key);
      if (before !== undefined && now() - before < TOLD_EVERY_MS) return;
      toldAtMs.set(key, now());
      logger.warn({ domainId, ...refusal }, 'a domain has used up a quota');
      const telling: Promise<void> = tell(domainId, refusal)
        .catch((error: unknown) => logger.warn({ err: error, domainId }, 'a used-up quota was not told as an event'))
        .finally(() => underWay.delete(telling));
      underWay.add(telling);
    },
    async stop() {
      await Promise.all(underWay);
    },
  };
}
