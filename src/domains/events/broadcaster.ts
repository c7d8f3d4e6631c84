/** Follows the numbered log for live readers: each stream is read once per replica, however many follow it. */
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { Redis } from '../../infra/stores/redis';
import type { EventBell } from './events';
import { readEventHead, readEventHeads, type LoggedEvent } from './events.store';
import { createTail, type Tail } from './stream-cache';

/** What a reader gets, in order: events, and gaps where numbers are gone. */
export type Followed = { kind: 'event'; event: LoggedEvent } | { kind: 'gap'; from: number; to: number };

export interface EventBroadcaster extends EventBell {
  /** Yields what comes after number `after`, without end, until `signal` aborts. Takes what it can, waits for more. */
  follow(stream: string, after: number, signal: AbortSignal): AsyncGenerator<Followed[], void, void>;
  start(): Promise<void>;
  stop(): void;
}

export interface EventBroadcasterOptions {
  db: Db;
  /** Publishes; fails fast. */
  redis: Redis;
  /** A connection in subscriber mode; it may be shared. */
  subscriber: Redis;
  prefix: string;
  logger: Logger;
  /** How often the log is looked at even if nobody rang: Redis may be away. */
  pollMs?: number;
}

const BATCH = 200;
const RETRY_MS = 500;

export function createEventBroadcaster(o: EventBroadcasterOptions): EventBroadcaster {
  const { db, redis, subscriber, prefix, logger, pollMs = 1000 } = o;
  const channel = `${prefix}:events`;
  const caches = new Map<string, { cache: Tail; followers: number }>();
  let timer: NodeJS.Timeout | undefined;
  let polling = false;

  function hear(from: string, message: string): void {
    if (from !== channel) return;
    const split = message.lastIndexOf(' ');
    const last = Number(message.slice(split + 1));
    if (split > 0 && Number.isSafeInteger(last)) caches.get(message.slice(0, split))?.cache.grewTo(last);
  }

  async function poll(): Promise<void> {
    if (polling || caches.size === 0) return;
    polling = true;
    try {
      for (const head of await readEventHeads(db, [...caches.keys()])) caches.get(head.stream)?.cache.grewTo(head.last);
    } catch (error) {
      logger.debug({ fault: (error as Error).message }, 'the event log could not be looked at');
    } finally {
      polling = false;
    }
  }

  function hold(stream: string): Tail {
    const held = caches.get(stream) ?? { cache: createTail(db, stream), followers: 0 };
    held.followers += 1;
    caches.set(stream, held);
    return held.cache;
  }
  function letGo(stream: string): void {
    const held = caches.get(stream);
    if (held && --held.followers === 0) caches.delete(stream);
  }

  return {
    ring(events) {
      const lasts = new Map<string, LoggedEvent[]>();
      for (const event of events) lasts.set(event.stream, [...(lasts.get(event.stream) ?? []), event]);
      for (const [stream, some] of lasts) {
        caches.get(stream)?.cache.offer(some);
        redis.publish(channel, `${stream} ${some.at(-1)!.number}`).catch((error: Error) => {
          logger.debug({ fault: error.message }, 'other replicas were not told of an event: they will look');
        });
      }
    },
    async *follow(stream, after, signal) {
      const cache = hold(stream);
      let at = after;
      let asked = false;
      try {
        while (!signal.aborted) {
          try {
            // The first thing to know is where the log stands; from then on we are told, and we look.
            if (!asked) cache.grewTo((await readEventHead(db, stream)).last);
            asked = true;
            if (at >= cache.last) {
              await cache.wait(at, signal);
              continue;
            }
            const { events, upTo } = await cache.read(at, BATCH);
            const batch = withGaps(events, at, upTo);
            const end = batch.at(-1);
            if (!end) continue;
            at = end.kind === 'event' ? end.event.number : end.to;
            yield batch;
          } catch (error) {
            logger.debug({ fault: (error as Error).message }, 'events could not be read: trying again');
            await pause(RETRY_MS, signal);
          }
        }
      } finally {
        letGo(stream);
      }
    },
    async start() {
      subscriber.on('message', hear);
      timer = setInterval(() => void poll(), pollMs);
      await subscriber.subscribe(channel);
    },
    stop() {
      clearInterval(timer);
      subscriber.off('message', hear);
    },
  };
}

/**
 * Puts a gap where numbers are missing.
 * @param upTo all up to this number that are still kept were there to read
 */
export function withGaps(events: readonly LoggedEvent[], after: number, upTo: number): Followed[] {
  const followed: Followed[] = [];
  let at = after;
  for (const event of events) {
    if (event.number > at + 1) followed.push({ kind: 'gap', from: at + 1, to: event.number - 1 });
    followed.push({ kind: 'event', event });
    at = event.number;
  }
  if (upTo > at) followed.push({ kind: 'gap', from: at + 1, to: upTo });
  return followed;
}

/** Waits, but not longer than until `signal` aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
