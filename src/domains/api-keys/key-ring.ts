/** Finds the caller of a key, from memory where it can, and forgets a revoked key at once in every replica. */
import { LRUCache } from 'lru-cache';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { Redis } from '../../infra/stores/redis';
import type { Caller } from '../../infra/route';
import { hashSecret } from '../../infra/secrets';
import { storeClock } from '../../infra/store-clock';
import { findApiKeyByHash, touchApiKey } from './api-keys.store';

export interface KeyRing {
  /** @returns undefined for a key that is unknown, revoked or expired */
  authenticate(bearer: string): Promise<Caller | undefined>;
  /** Tells every replica that these keys are dead. */
  revoked(apiKeyIds: readonly string[]): Promise<void>;
  /** Hears of dead keys, so that open streams can end. @returns how to stop hearing */
  onRevoked(listener: (apiKeyId: string) => void): () => void;
  start(): Promise<void>;
  stop(): void;
}

export interface KeyRingOptions {
  db: Db;
  /** Publishes; fails fast. */
  redis: Redis;
  /** A connection in subscriber mode; it may be shared. */
  subscriber: Redis;
  prefix: string;
  logger: Logger;
  now?: () => number;
}

const KEPT_MS = 5000;
/** One that is shown after this is looked up again, beside whoever shows it. */
const AGAIN_MS = 3000;
const MAX_KEPT = 10_000;

export function createKeyRing(o: KeyRingOptions): KeyRing {
  const { db, redis, subscriber, prefix, logger, now = storeClock.nowMs } = o;
  const channel = `${prefix}:api-keys`;
  const kept = new LRUCache<string, { caller: Caller; againMs: number; untilMs: number }>({ max: MAX_KEPT });
  const refreshing = new Set<string>();
  const listeners = new Set<(apiKeyId: string) => void>();
  /** Counts revocations: what was read before one may not be kept after it. */
  let generation = 0;

  function forget(apiKeyId: string): void {
    generation += 1;
    for (const [hash, entry] of [...kept]) if (entry.caller.apiKeyId === apiKeyId) kept.delete(hash);
    for (const listener of [...listeners]) listener(apiKeyId);
  }
  function forgetAll(): void {
    generation += 1;
    kept.clear();
  }
  function onMessage(from: string, message: string): void {
    if (from === channel) forget(message);
  }

  async function load(hash: string): Promise<Caller | undefined> {
    const seen = generation;
    const row = await findApiKeyByHash(db, hash);
    const at = now();
    if (!row || row.revoked_at || (row.expires_at && row.expires_at.getTime() <= at)) return undefined;
    const caller: Caller = { apiKeyId: row.id, scopes: row.scopes, domainId: row.domain_id };
    void touchApiKey(db, row.id).catch((error: Error) => logger.debug({ fault: error.message }, 'key use not noted'));
    if (seen === generation) {
      const untilMs = Math.min(at + KEPT_MS, row.expires_at?.getTime() ?? Infinity);
      kept.set(hash, { caller, againMs: at + AGAIN_MS, untilMs });
    }
    return caller;
  }

  function refresh(hash: string): void {
    if (refreshing.has(hash)) return;
    refreshing.add(hash);
    load(hash)
      .then((caller) => caller ?? kept.delete(hash))
      .catch(() => undefined) // it is asked for by who shows it next, once this is over
      .finally(() => refreshing.delete(hash));
  }

  return {
    async authenticate(bearer) {
      const hash = hashSecret(bearer);
      const entry = kept.get(hash);
      // While we can't hear of revocations, memory is not to be trusted.
      if (entry && entry.untilMs > now() && subscriber.status === 'ready') {
        if (entry.againMs <= now()) refresh(hash);
        return entry.caller;
      }
      kept.delete(hash);
      return load(hash);
    },
    async revoked(apiKeyIds) {
      for (const id of apiKeyIds) {
        forget(id);
        await redis.publish(channel, id).catch((error: Error) => {
          logger.warn({ fault: error.message, apiKeyId: id }, 'other replicas hear of a revoked key when it expires');
        });
      }
    },
    onRevoked(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async start() {
      subscriber.on('message', onMessage);
      subscriber.on('close', forgetAll);
      await subscriber.subscribe(channel);
    },
    stop() {
      subscriber.off('message', onMessage);
      subscriber.off('close', forgetAll);
    },
  };
}
