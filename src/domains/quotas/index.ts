/** Puts quotas together: what other domains ask before they take something, the places of streams, and the routes. */
import type { TokenBuckets } from '../../infra/stores/buckets';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { Redis } from '../../infra/stores/redis';
import type { Route } from '../../infra/route';
import type { EventLog } from '../events/events';
import { readDefaults } from './catalogue';
import { createQuotaChecks, type Quotas } from './quotas';
import { quotaRoutes } from './quotas.routes';
import { createRefusals } from './refusals';
import { createStreamPlaces, type StreamPlaces } from './streams';
import { type Domain } from '../domain';

export type { Quotas } from './quotas';
export type { StreamPlaces } from './streams';

export interface QuotasOptions {
  db: Db;
  log: EventLog;
  logger: Logger;
  redis: Redis;
  prefix: string;
  buckets: TokenBuckets;
  now: () => number;
  /** The setting QUOTAS: in the place of our own defaults. */
  defaults: Readonly<Record<string, number>>;
  /** Most event streams in this process. */
  mostStreams: number;
  /** For the metric. */
  countRefusal: (quota: string) => void;
}

export interface OpenQuotas extends Quotas, Domain {
  routes: Route[];
  stop(): Promise<void>;
  streams: StreamPlaces;
}

/** @throws Error where a default is set for what is no quota */
export function createQuotas(o: QuotasOptions): OpenQuotas {
  const defaults = readDefaults(o.defaults);
  const refusals = createRefusals(o);
  const quotas = createQuotaChecks({ db: o.db, buckets: o.buckets, defaults, refusals, now: o.now });
  const streams = createStreamPlaces({ redis: o.redis, prefix: o.prefix, quotas, mostHere: o.mostStreams });
  return {
    ...quotas,
    streams,
    routes: quotaRoutes({
      db: o.db,
      events: o.log,
      buckets: o.buckets,
      streams,
      defaults,
      onChanged: quotas.forgetLimits,
    }),
    async stop() {
      streams.stop();
      await refusals.stop();
    },
  };
}
