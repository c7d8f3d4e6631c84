/** Guards the nodes' doors: who shows wrong credentials there is soon not even looked up any more. */
import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import { SwitchyardError } from '../../errors';
import { createLocalBuckets, type BucketLimit, type TokenBuckets } from '../../infra/stores/buckets';
import { hashSecret } from '../../infra/secrets';
import { storeClock } from '../../infra/store-clock';
import { listNetworks } from '../../address';
import { limitedBy, readClientAddress } from '../request/client-address';

export interface CredentialGuard {
  /**
   * Runs what finds out whether the credentials are right. One whose credentials were good a moment ago is never kept
   * out for what others do from its address.
   * @param shown what is to be proven: a header, a token; '' for nothing
   * @param lookUp is given the address that the request came from
   * @throws rate_limited without looking up, where this address has failed too often; or what `lookUp` throws
   */
  prove<T>(request: IncomingMessage, shown: string, lookUp: (from: string) => Promise<T>): Promise<T>;
}

/** Also so many may prove themselves at the same moment from one address: a pool that starts again behind one NAT. */
const FAILURES: BucketLimit = { perSecond: 2, burst: 100 };
const GOOD_MS = 15 * 60_000;
const MOST_KNOWN = 10_000;

export interface CredentialGuardOptions {
  buckets: TokenBuckets;
  trustedProxies: readonly string[];
  now: () => number;
}

const isWrong = (error: unknown): boolean => error instanceof SwitchyardError && error.code === 'unauthorized';

export function createCredentialGuard(o: CredentialGuardOptions): CredentialGuard {
  const trusted = listNetworks(o.trustedProxies);
  /** Hash of what was shown → until when it counts as good. */
  const good = new LRUCache<string, number>({ max: MOST_KNOWN });

  function remember(hash: string): void {
    good.set(hash, o.now() + GOOD_MS);
  }

  return {
    async prove(request, shown, lookUp) {
      const hash = shown === '' ? '' : hashSecret(shown);
      const isKnown = (good.get(hash) ?? 0) > o.now();
      const from = readClientAddress(request, trusted);
      const bucket = `door:${limitedBy(from)}`;
      if (!isKnown) {
        const { waitMs } = await o.buckets.take(bucket, FAILURES);
        if (waitMs > 0) {
          const detail = 'Too many wrong credentials came from this address.';
          throw new SwitchyardError('rate_limited', detail, { retryAfterMs: waitMs });
        }
      }
      try {
        const found = await lookUp(from);
        if (hash !== '') remember(hash);
        if (!isKnown) await o.buckets.giveBack(bucket, FAILURES);
        return found;
      } catch (error) {
        if (isWrong(error)) good.delete(hash);
        else if (!isKnown) await o.buckets.giveBack(bucket, FAILURES);
        throw error;
      }
    },
  };
}

/** Where a door is tried by itself: failures are counted in this process, and no proxy is believed. */
export const createLocalGuard = (): CredentialGuard =>
  createCredentialGuard({ buckets: createLocalBuckets(storeClock.nowMs), trustedProxies: [], now: storeClock.nowMs });
