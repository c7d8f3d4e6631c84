/** Holds domains to their quotas: whoever takes a place asks here first, and the last place is given once. */
import { LRUCache } from 'lru-cache';
import type { Db, Queryable, Trx } from '../../infra/stores/db';
import type { BucketLimit, TokenBuckets } from '../../infra/stores/buckets';
import {
  QUOTAS,
  readDefaults,
  windowMsOf,
  type CountedQuota,
  type QuotaDefaults,
  type QuotaName,
  type RateQuota,
} from './catalogue';
import { lockQuotas, readLimits, readUsed } from './quotas.store';
import { quotaExceeded, type Refusal, type Refusals } from './refusals';

/** How many more are wanted of each. */
export type Wanted = Partial<Record<CountedQuota, number>>;

/** What the other domains ask of quotas. */
export interface Quotas {
  /** What a domain may have where no admin said otherwise: for statements that read the domain's own limits themselves. */
  readonly defaults: QuotaDefaults;
  /**
   * Inside the transaction that writes the rows down, behind the locks of its rows: holds the domain's places until it
   * ends. @throws quota_exceeded, which undoes the transaction
   */
  take(trx: Trx, domainId: string, wanted: Wanted): Promise<void>;
  /** The same for those who wait instead of failing. @returns what stands in the way; nothing of it is told */
  tryTake(trx: Trx, domainId: string, wanted: Wanted): Promise<Refusal | undefined>;
  /** A look beforehand, to spare work that would be refused; only take() decides. @throws quota_exceeded */
  check(domainId: string, wanted: Wanted): Promise<void>;
  /** The same look for those who don't ask for more, but have it. @returns what stands in the way of `wanted` */
  peek(domainId: string, wanted: Wanted): Promise<Refusal | undefined>;
  /** Takes one of what may be begun in a time. @throws quota_exceeded */
  spend(domainId: string, quota: RateQuota): Promise<void>;
  /** Counts and tells a refusal that tryTake() found, or that was decided by limitOf(). */
  refuse(domainId: string, refusal: Refusal): void;
  /**
   * A second or two old at most; while the database is away what is remembered, or the default.
   * @param by inside a transaction that one: who holds a connection must not wait for a second
   */
  limitOf(domainId: string, quota: QuotaName, by?: Queryable): Promise<number>;
}

/** What may be begun of a rate: all of a window at once, and then as it comes back. */
export function bucketOf(quota: RateQuota, limit: number): BucketLimit {
  return { burst: limit, perSecond: (limit * 1000) / windowMsOf(quota) };
}

export const bucketKey = (domainId: string, quota: RateQuota): string => `quota:${domainId}:${quota}`;

/** The first that would be more than may be. Where none is wanted more of, nothing stands in the way. */
async function findRefusal(
  db: Queryable,
  domainId: string,
  wanted: Wanted,
  defaults: QuotaDefaults,
): Promise<Refusal | undefined> {
  const quotas = (Object.keys(wanted) as CountedQuota[]).filter((quota) => wanted[quota]! > 0);
  for (const { quota, own, used } of await readUsed(db, domainId, quotas)) {
    const limit = own ?? defaults[quota];
    if (used + wanted[quota]! > limit) return { quota, limit, used };
  }
  return undefined;
}

export interface QuotasDeps {
  db: Db;
  buckets: TokenBuckets;
  defaults: QuotaDefaults;
  refusals: Pick<Refusals, 'note'>;
  now: () => number;
}

const LIMITS_KEPT_MS = 2000;

interface Kept {
  limits: Partial<Record<QuotaName, number>>;
  atMs: number;
}
const MOST_KEPT = 10_000;

/** @returns what forgets a domain's limits, beside the quotas themselves */
export function createQuotaChecks(deps: QuotasDeps): Quotas & { forgetLimits(domainId: string): void } {
  const { db, buckets, defaults, refusals, now } = deps;
  const kept = new LRUCache<string, Kept>({ max: MOST_KEPT });
  const underWay = new Set<string>();

  async function limitsOf(domainId: string, by: Queryable = db): Promise<Partial<Record<QuotaName, number>>> {
    const known = kept.get(domainId);
    const ageMs = known ? now() - known.atMs : Infinity;
    if (!known || ageMs >= LIMITS_KEPT_MS) return readAgain(domainId, by, known);
    // Nobody waits for a look where somebody asks every second.
    if (ageMs >= LIMITS_KEPT_MS / 2 && !underWay.has(domainId)) {
      underWay.add(domainId);
      void readAgain(domainId, db, known).finally(() => underWay.delete(domainId));
    }
    return known.limits;
  }

  async function readAgain(domainId: string, by: Queryable, known: Kept | undefined): Promise<Kept['limits']> {
    const atMs = now();
    const limits = await readLimits(by, domainId).catch(() => known?.limits ?? {});
    // Forgotten in the meantime: this may be what was before the change.
    if (kept.get(domainId) === known) kept.set(domainId, { limits, atMs });
    return limits;
  }

  function fail(domainId: string, refusal: Refusal | undefined): void {
    if (!refusal) return;
    refusals.note(domainId, refusal);
    throw quotaExceeded(refusal);
  }

  const quotas: Quotas = {
    defaults,
    async tryTake(trx, domainId, wanted) {
      await lockQuotas(trx, domainId);
      return findRefusal(trx, domainId, wanted, defaults);
    },
    async take(trx, domainId, wanted) {
      fail(domainId, await quotas.tryTake(trx, domainId, wanted));
    },
    async check(domainId, wanted) {
      fail(domainId, await quotas.peek(domainId, wanted));
    },
    peek: (domainId, wanted) => findRefusal(db, domainId, wanted, defaults),
    async spend(domainId, quota) {
      const limit = await quotas.limitOf(domainId, quota);
      if (limit < 1) return fail(domainId, { quota, limit, used: 0 });
      const { waitMs } = await buckets.take(bucketKey(domainId, quota), bucketOf(quota, limit));
      if (waitMs > 0) fail(domainId, { quota, limit, used: limit, retryAfterMs: waitMs });
    },
    refuse: (domainId, refusal) => refusals.note(domainId, refusal),
    limitOf: async (domainId, quota, by) => (await limitsOf(domainId, by))[quota] ?? defaults[quota],
  };
  return { ...quotas, forgetLimits: (domainId) => void kept.delete(domainId) };
}

/** For parts that are tried by themselves: nobody is refused anything. @internal */
export const UNLIMITED: Quotas = {
  defaults: readDefaults(),
  take: () => Promise.resolve(),
  tryTake: () => Promise.resolve(undefined),
  check: () => Promise.resolve(),
  peek: () => Promise.resolve(undefined),
  spend: () => Promise.resolve(),
  refuse: () => undefined,
  limitOf: (_domainId, quota) => Promise.resolve(QUOTAS[quota].default),
};
