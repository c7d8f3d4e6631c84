/** The REST of quotas: what a domain may have and has now, and an admin's change of it. */
import { z } from 'zod';
import type { Db } from '../../infra/stores/db';
import { defineRoute, type Route } from '../../infra/route';
import type { TokenBuckets } from '../../infra/stores/buckets';
import { domainReference, requireDomain } from '../domains/domains';
import type { EventLog } from '../events/events';
import { POOL_STREAM } from '../events/events.store';
import { MOST_AMOUNT, QUOTA_NAMES, QUOTAS, type QuotaDefaults, type QuotaName, type RateQuota } from './catalogue';
import { bucketKey, bucketOf } from './quotas';
import { COUNTED_QUOTAS, readLimits, readMostRegistrations, readUsed, replaceLimits } from './quotas.store';
import type { StreamPlaces } from './streams';

export interface QuotaRouteDeps {
  db: Db;
  events: EventLog;
  buckets: Pick<TokenBuckets, 'read'>;
  streams: Pick<StreamPlaces, 'read'>;
  defaults: QuotaDefaults;
  /** After a change: what this replica remembers is forgotten. Others remember for two seconds. */
  onChanged: (domainId: string) => void;
}

const shownQuota = z.object({
  limit: z.number().int().describe("The domain's limit."),
  used: z.number().describe('Current usage.'),
  default: z.number().int().describe('The default limit.'),
});

const forEachQuota = <T>(make: (name: QuotaName) => T): Record<QuotaName, T> =>
  Object.fromEntries(QUOTA_NAMES.map((name) => [name, make(name)])) as Record<QuotaName, T>;

const quotasSchema = z
  .object({
    domain: z.string(),
    quotas: z.object(forEachQuota((name) => shownQuota.describe(QUOTAS[name].about))),
  })
  .meta({ id: 'Quotas' });

const limits = z.strictObject(
  forEachQuota((name) => z.int().min(0).max(MOST_AMOUNT).nullable().optional().describe(QUOTAS[name].about)),
);

type Used = Record<QuotaName, number>;

async function readAllUsed(deps: QuotaRouteDeps, domainId: string, limitOf: (q: QuotaName) => number): Promise<Used> {
  const rates = QUOTA_NAMES.filter((name): name is RateQuota => QUOTAS[name].kind === 'rate');
  const [counted, registrationsPerUser, streams, spent] = await Promise.all([
    readUsed(deps.db, domainId, COUNTED_QUOTAS),
    readMostRegistrations(deps.db, domainId),
    deps.streams.read(domainId),
    Promise.all(
      rates.map(async (quota): Promise<[RateQuota, number]> => {
        const limit = limitOf(quota);
        if (limit < 1) return [quota, 0];
        const left = await deps.buckets.read(bucketKey(domainId, quota), bucketOf(quota, limit));
        return [quota, Math.max(0, Math.ceil(limit - left))];
      }),
    ),
  ]);
  return {
    ...(Object.fromEntries([...counted.map(({ quota, used }) => [quota, used]), ...spent]) as Used),
    registrationsPerUser,
    eventStreams: streams.open,
    eventStreamsPerGrant: streams.mostByGrant,
  };
}

async function presentQuotas(
  deps: QuotaRouteDeps,
  domain: { id: string; name: string },
): Promise<z.output<typeof quotasSchema>> {
  const own = await readLimits(deps.db, domain.id);
  const limitOf = (name: QuotaName): number => own[name] ?? deps.defaults[name];
  const used = await readAllUsed(deps, domain.id, limitOf);
  const quotas = forEachQuota((name) => ({ limit: limitOf(name), used: used[name], default: deps.defaults[name] }));
  return { domain: domain.name, quotas };
}

const one = { path: '/v1/quotas/{domain}', tag: 'Quotas', params: z.object({ domain: domainReference }) } as const;

export function quotaRoutes(deps: QuotaRouteDeps): Route[] {
  return [
    defineRoute({
      ...one,
      method: 'get',
      scope: 'domain',
      summary: "Read a domain's quotas and usage",
      description:
        'A request above a quota gets `quota_exceeded` with `quota`, `limit` and `used`. A ' +
        "phone's own call gets 503. The event `quota.exceeded` reports it, at most once a minute per quota.",
      answers: { 200: quotasSchema },
      handle: async ({ params, caller }) => ({
        body: await presentQuotas(deps, await requireDomain(deps.db, caller, params.domain)),
      }),
    }),
    defineRoute({
      ...one,
      method: 'put',
      scope: 'admin',
      summary: "Set a domain's quotas",
      description:
        'Replaces the whole set: an omitted or null quota returns to its default. Existing usage stays, even ' +
        'above the new limit. Other replicas follow within two seconds.',
      body: limits,
      answers: { 200: quotasSchema },
      handle: async ({ params, body, caller }) => {
        const domain = await requireDomain(deps.db, caller, params.domain);
        const set = Object.fromEntries(Object.entries(body).filter(([, amount]) => typeof amount === 'number'));
        await deps.events.record(async (trx, emit) => {
          await replaceLimits(trx, domain.id, set);
          for (const stream of [domain.id, POOL_STREAM]) {
            emit({ stream, type: 'quotas.changed', data: { domain: domain.name, limits: set } });
          }
        });
        deps.onChanged(domain.id);
        return { body: await presentQuotas(deps, domain) };
      },
    }),
  ];
}
