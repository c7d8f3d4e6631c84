/** A token bucket for each key keeps one busy client from taking what others need. */

export interface RateLimit {
  /** Tokens that come back each second. */
  perSecond: number;
  /** What may be spent at once. */
  burst: number;
}

export interface Bucket {
  tokens: number;
  atMs: number;
}

/** Takes one token. @returns the bucket afterwards, and how long to wait where there was none (0 where there was). */
export function takeToken(
  bucket: Bucket | undefined,
  limit: RateLimit,
  nowMs: number,
): { bucket: Bucket; waitMs: number } {
  const since = bucket ? Math.max(0, nowMs - bucket.atMs) : 0;
  const tokens = bucket ? Math.min(limit.burst, bucket.tokens + (since / 1000) * limit.perSecond) : limit.burst;
  if (tokens < 1)
    return { bucket: { tokens, atMs: nowMs }, waitMs: Math.ceil(((1 - tokens) / limit.perSecond) * 1000) };
  return { bucket: { tokens: tokens - 1, atMs: nowMs }, waitMs: 0 };
}

export interface RateLimiter {
  /** @returns how many milliseconds to wait; 0 where the request may go on. */
  take(key: string): number;
}

/** Buckets live in this process: with N replicas a key has up to N times the limit. The oldest are forgotten first. */
export function createRateLimiter(limit: RateLimit, now: () => number, maxKeys = 10_000): RateLimiter {
  const buckets = new Map<string, Bucket>();
  return {
    take(key) {
      const { bucket, waitMs } = takeToken(buckets.get(key), limit, now());
      buckets.delete(key);
      buckets.set(key, bucket);
      if (buckets.size > maxKeys) buckets.delete(buckets.keys().next().value!);
      return waitMs;
    },
  };
}
