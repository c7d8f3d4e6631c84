/** Opens what every role stands on: the database, Redis, the log of events, and the ring of keys. */
import type { Pool } from 'pg';
import type { Config } from '../config';
import { createKeyRing, type KeyRing } from '../domains/api-keys/key-ring';
import { createEventLog, createSharedBell, type EventLog, type SharedBell } from '../domains/events/events';
import { createEventBroadcaster, type EventBroadcaster } from '../domains/events/broadcaster';
import { checkSecrets } from '../domains/secrets/check';
import { createDb, createLookupPool, createStatementPool, type Db, type DbPatience } from '../infra/stores/db';
import type { Logger } from '../infra/logger';
import { migrateDb } from '../infra/stores/migrate';
import { addressOf, connectRedis, findEvictionFault, nameStartFault } from '../infra/stores/store-faults';
import { createConcurrencyLimit } from '../infra/flow/concurrency-limit';
import { createBlockingRedis, createRedis, type Redis } from '../infra/stores/redis';
import { followStoreClock, setStoreClock } from '../infra/store-clock';

/** Of the pool's connections; the others are for those who read. */
const SHARE_OF_CHANGES = 0.5;
/** Beside the pool, in relation to it. A call is three statements of a millisecond. */
const SHARE_OF_CALLS = 0.5;
/** Longer than the pool lets wait, since who waits here holds nothing that others want. */
const CHANGE_WAIT_MS = 5000;

/** What was started, in order; it is stopped in reverse. */
export type Stops = (() => Promise<void> | void)[];

export interface Stores {
  db: Db;
  /** Connections of the directory's own: a phone that registers waits for no report. */
  lookups: Pool;
  /** Those of calls that are asked for and placed: they wait for no report of a node and no sweep. */
  callPool: Pool;
  redis: Redis;
  /** In subscriber mode. */
  subscriber: Redis;
  broadcaster: EventBroadcaster;
  log: EventLog;
  /** Rung with every event that this replica has written. */
  bell: SharedBell;
  keyRing: KeyRing;
}

/** @throws where Postgres can't be reached or migrated, or is sealed with another secret. Redis may be away: placements wait for it. */
export async function openStores(config: Config, logger: Logger, stops: Stops, patience?: DbPatience): Promise<Stores> {
  const db = createDb(config.databaseUrl, config.databasePoolSize, patience);
  stops.push(() => db.destroy());
  await migrateDb(db).catch((error: unknown) => {
    throw nameStartFault(error, config.databaseUrl);
  });
  await setStoreClock(db);
  const clock = followStoreClock(db, logger);
  stops.push(() => clock.stop());
  await checkSecrets(db, config.secretKey, logger);
  const lookups = createLookupPool(config.databaseUrl, Math.max(2, Math.floor(config.databasePoolSize / 2)), patience);
  stops.push(() => lookups.end());
  const callPool = createStatementPool(
    config.databaseUrl,
    Math.max(2, Math.floor(config.databasePoolSize * SHARE_OF_CALLS)),
    patience,
  );
  stops.push(() => callPool.end());
  const redis = createRedis(config.redisUrl, logger);
  stops.push(() => redis.disconnect());
  if (await connectRedis(redis, config.redisUrl)) {
    const fault = await findEvictionFault(redis);
    if (fault) logger.warn({ redis: addressOf(config.redisUrl) }, fault);
  } else {
    logger.warn({ redis: addressOf(config.redisUrl) }, 'redis is away: placements wait for it');
  }
  const subscriber = createBlockingRedis(config.redisUrl, logger);
  stops.push(() => subscriber.disconnect());
  const prefix = config.redisPrefix;
  const broadcaster = createEventBroadcaster({ db, redis, subscriber, prefix, logger });
  void broadcaster.start(); // waits for Redis, which may be away: readers poll until then
  stops.push(() => broadcaster.stop());
  const keyRing = createKeyRing({ db, redis, subscriber, prefix, logger });
  void keyRing.start();
  stops.push(() => keyRing.stop());
  const bell = createSharedBell(logger, broadcaster);
  const concurrencyLimit = createConcurrencyLimit(
    Math.ceil(config.databasePoolSize * SHARE_OF_CHANGES),
    CHANGE_WAIT_MS,
  );
  return {
    db,
    lookups,
    callPool,
    redis,
    subscriber,
    broadcaster,
    bell,
    log: createEventLog(db, bell, logger, concurrencyLimit),
    keyRing,
  };
}
