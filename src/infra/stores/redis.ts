/** Connections to Redis: one kind that fails fast, for answers; one that waits, for BullMQ and subscriptions. */
import { Redis } from 'ioredis';
import type { Logger } from '../logger';
import { backoffMs } from '../flow/backoff';

export type { Redis };

const RETRY = { firstMs: 100, longestMs: 1000 };

/** For commands inside a request or a handler: fails at once while Redis is away, instead of queueing up. */
export function createRedis(url: string, logger: Logger): Redis {
  return watch(
    new Redis(url, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: 2000,
      connectTimeout: 2000,
      lazyConnect: true,
      retryStrategy: (tries) => backoffMs(tries, RETRY),
    }),
    logger,
  );
}

/** For BullMQ workers and subscribers: waits for Redis for as long as it takes. */
export function createBlockingRedis(url: string, logger: Logger): Redis {
  return watch(
    new Redis(url, {
      maxRetriesPerRequest: null,
      enableReadyCheck: true,
      connectTimeout: 2000,
      retryStrategy: (tries) => backoffMs(tries, RETRY),
    }),
    logger,
  );
}

function watch(redis: Redis, logger: Logger): Redis {
  let away = false;
  redis.on('error', (error: Error) => {
    if (!away) logger.warn({ fault: error.message }, 'redis is away');
    away = true;
  });
  redis.on('ready', () => {
    if (away) logger.info('redis is back');
    away = false;
  });
  return redis;
}
