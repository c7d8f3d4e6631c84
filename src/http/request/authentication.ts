/** Who asks: reads the bearer key, and keeps those who guess away from the look-ups that others wait for. */
import { LRUCache } from 'lru-cache';
import { SwitchyardError } from '../../errors';
import type { BucketLimit, TokenBuckets } from '../../infra/stores/buckets';
import type { SharedMarks } from '../../infra/stores/marks';
import { isScopeEnough, type Caller, type Scope } from '../../infra/route';
import { hashSecret } from '../../infra/secrets';
import { limitedBy } from './client-address';

/** Finds the caller a key or a grant's token belongs to; undefined where it is unknown, revoked or expired. */
export type Authenticate = (bearer: string) => Promise<Caller | undefined>;

/** Knows the addresses that show keys nobody has, over all replicas. */
export interface Strangers {
  /** @returns how long the address has to wait; 0 where it need not */
  waitMs(address: string | undefined): number;
  recordFailure(o: { kind: 'api'; address: string | undefined }): void;
  recordSuccess(address: string | undefined, callerId: string): void;
}

/** @returns the key of "Authorization: Bearer KEY", or undefined. */
function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer ([\x21-\x7e]{16,256})$/i.exec(header ?? '')?.[1];
}

/** How the token of a grant begins. */
const GRANT_TOKEN = /^gt_[\x21-\x7e]{16,256}$/;

export const isGrantToken = (text: string): boolean => GRANT_TOKEN.test(text);

/**
 * What was shown. EventSource and a browser's WebSocket can't send headers, so a grant's token may also stand in the
 * query as `access_token`; an API key may not, since queries are kept in logs and histories everywhere.
 */
export function shownBearer(authorization: string | undefined, accessToken: unknown): string | undefined {
  const bearer = bearerOf(authorization);
  if (bearer !== undefined) return bearer;
  return typeof accessToken === 'string' && isGrantToken(accessToken) ? accessToken : undefined;
}

/** @throws SwitchyardError rate_limited */
async function spend(buckets: TokenBuckets, key: string, limit: BucketLimit): Promise<void> {
  const { waitMs } = await buckets.take(key, limit);
  if (waitMs > 0) throw mustWait(waitMs);
}

function mustWait(waitMs: number): SwitchyardError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new SwitchyardError('rate_limited', `Try again in ${seconds} seconds.`, { retryAfterMs: waitMs });
}

export interface RequestLimits {
  /** Requests of one API key. */
  keys: BucketLimit;
  /** Requests of one grant's token: a page asks little. */
  grants: BucketLimit;
  /** Requests of all grants of one domain together. */
  grantsOfDomain: BucketLimit;
  /** Of one address, keys that were not found. */
  strangers: BucketLimit;
}

export const REQUEST_LIMITS: RequestLimits = {
  keys: { perSecond: 200, burst: 400 },
  grants: { perSecond: 20, burst: 100 },
  grantsOfDomain: { perSecond: 1000, burst: 2000 },
  strangers: { perSecond: 5, burst: 50 },
};

export interface Doorkeeper {
  /**
   * @param address where the request comes from
   * @throws SwitchyardError unauthorized, forbidden, rate_limited
   */
  require(bearer: string | undefined, address: string, need: Scope): Promise<{ caller: Caller; bearer: string }>;
}

/** Who a bearer was when it was last looked up. */
interface Known {
  callerId: string;
  /** Set for a grant's token. */
  grantOf: string | null;
  untilMs: number;
}

/** How long a bearer that was good, here or at another replica, may be looked up whatever its address does. */
const GOOD_MS = 15 * 60_000;
const MOST_KNOWN = 20_000;

/**
 * The order is what matters: nothing is looked up before a bucket has allowed it. Whose bearer was good a moment ago
 * spends from its own bucket, so that somebody who guesses from the same address (one NAT, one office) can't lock it
 * out; all others spend from the bucket of their address, and get back what a good key has cost.
 */
export function createDoorkeeper(o: {
  authenticate: Authenticate;
  buckets: TokenBuckets;
  limits: RequestLimits;
  /** Left out: another replica's callers are strangers at first. */
  marks?: SharedMarks;
  /** Left out: nobody has to wait for keys that somebody at their address showed. */
  strangers?: Strangers;
  now: () => number;
}): Doorkeeper {
  const { authenticate, buckets, limits, marks, strangers, now } = o;
  const known = new LRUCache<string, Known>({ max: MOST_KNOWN });
  const underWay = new Map<string, Promise<Caller | undefined>>();
  const strangerKey = (address: string): string => `stranger:${limitedBy(address)}`;

  async function spendOwn({ callerId, grantOf }: Known): Promise<void> {
    await spend(buckets, `caller:${callerId}`, grantOf === null ? limits.keys : limits.grants);
    if (grantOf !== null) await spend(buckets, `grants:${grantOf}`, limits.grantsOfDomain);
  }

  function remember(hash: string, caller: Caller, address: string): void {
    strangers?.recordSuccess(address, caller.apiKeyId);
    const grantOf = caller.grant ? caller.domainId : null;
    const entry = { callerId: caller.apiKeyId, grantOf, untilMs: now() + GOOD_MS };
    if (!known.has(hash)) void marks?.set(`good:${hash}`, GOOD_MS);
    known.set(hash, entry);
  }

  /** @throws rate_limited; undefined where nobody is known by it */
  async function lookUp(bearer: string | undefined, address: string): Promise<Caller | undefined> {
    const banMs = strangers?.waitMs(address) ?? 0;
    const hash = bearer === undefined ? '' : hashSecret(bearer);
    const before = known.get(hash);
    if (bearer !== undefined && before && before.untilMs > now()) {
      await spendOwn(before);
      const caller = await authenticate(bearer);
      if (caller) remember(hash, caller, address);
      else known.delete(hash);
      return caller;
    }
    // Whose bearer was good a moment ago is not shut out for another one at the same address.
    if (banMs > 0) throw mustWait(banMs);
    if (bearer === undefined) {
      await spend(buckets, strangerKey(address), limits.strangers);
      return undefined;
    }
    // A program that begins with many requests at once is looked up once for all of them.
    let asking = underWay.get(hash);
    if (!asking) {
      asking = lookUpStranger(bearer, hash, address).finally(() => underWay.delete(hash));
      underWay.set(hash, asking);
    }
    const caller = await asking;
    const entry = known.get(hash);
    if (caller && entry) await spendOwn(entry);
    return caller;
  }

  async function lookUpStranger(bearer: string, hash: string, address: string): Promise<Caller | undefined> {
    const isMarked = (await marks?.has(`good:${hash}`)) === true;
    if (!isMarked) await spend(buckets, strangerKey(address), limits.strangers);
    let isWrong = false;
    try {
      const caller = await authenticate(bearer);
      isWrong = !caller;
      if (isWrong) strangers?.recordFailure({ kind: 'api', address });
      if (caller) remember(hash, caller, address);
      else if (isMarked) await marks?.remove(`good:${hash}`);
      return caller;
    } finally {
      // Also where the database is away: that is no guess.
      if (!isMarked && !isWrong) await buckets.giveBack(strangerKey(address), limits.strangers);
    }
  }

  return {
    async require(bearer, address, need) {
      const caller = await lookUp(bearer, address);
      if (bearer === undefined)
        throw new SwitchyardError(
          'unauthorized',
          'The request has no API key, or one that is not 16 to 256 characters long.',
        );
      if (!caller)
        throw new SwitchyardError('unauthorized', 'This API key or token is unknown, revoked or expired.', {
          fix: 'Check that the whole key was sent. An admin creates a new one with POST /v1/api-keys.',
        });
      if (!isScopeEnough(caller.scopes, need)) {
        throw new SwitchyardError('forbidden', `This needs an API key with the scope "${need}".`);
      }
      return { caller, bearer };
    },
  };
}
