/**
 * What this replica refuses at this moment, in memory: a phone's question waits for no store. Other replicas tell of
 * theirs over Redis; Postgres, which is looked at now and then, has the last word about bans.
 */
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { Redis } from '../../infra/stores/redis';
import { runEvery, type Interval } from '../../infra/flow/interval';
import { readHeldBans, type BanKind } from './bans.store';

export interface Refusal {
  untilMs: number;
  /** Undefined where it is only slowed: for seconds, without a row. */
  banId: string | undefined;
  spared: ReadonlySet<string>;
}

export interface Refusals {
  find(key: string): Refusal | undefined;
  /** True while nothing at all is refused: most of the time, and then nothing else is looked at. */
  readonly isEmpty: boolean;
  countByKind(): Map<BanKind, number>;
  /** Refuses here and in every replica, for a while and without a row. */
  slow(key: string, ms: number): void;
  /** A ban has begun. It may have no id: then Postgres was away, and it lasts only until then. */
  start(ban: { id?: string; kind: BanKind; key: string; spared: readonly string[] }, ms: number): void;
  end(key: string): void;
  /** Hears of others from here on. */
  open(): void;
  stop(): Promise<void>;
}

export interface RefusalsOptions {
  db: Db;
  /** Publishes; fails fast. */
  redis: Redis;
  /** A connection in subscriber mode; it may be shared. */
  subscriber: Redis;
  prefix: string;
  logger: Logger;
  now: () => number;
  /** How often Postgres is looked at. */
  pollMs?: number;
  /** Beside the bans: what else is to be read again at each look. */
  onLook?: () => Promise<void>;
}

const POLL_MS = 2000;
/** Statements commit in another order than they begin: what changed so long before the last look is read again. */
const OVERLAP_MS = 15_000;
/** More than this are not held; the database's own limit for one who floods us with addresses. */
const MOST_HELD = 50_000;

const key = z.string().max(1024);
const ms = z.number().min(0).max(86_400_000);
const notice = z.discriminatedUnion('op', [
  z.object({ op: z.literal('slow'), key, ms }),
  z.object({
    op: z.literal('start'),
    key,
    ms,
    id: z.string().optional(),
    kind: z.enum(['address', 'login', 'pin', 'room_pin']),
    spared: z.array(z.string()).max(1000),
  }),
  z.object({ op: z.literal('end'), key }),
]);
type Notice = z.output<typeof notice>;

const NOBODY: ReadonlySet<string> = new Set();

export function createRefusals(o: RefusalsOptions): Refusals {
  const { db, redis, subscriber, logger, now } = o;
  const channel = `${o.prefix}:bans`;
  const held = new LRUCache<string, Refusal & { kind: BanKind | undefined }>({ max: MOST_HELD });
  let since: Date | undefined;
  let poll: Interval | undefined;

  function hold(
    name: string,
    forMs: number,
    refusal: { id?: string; kind?: BanKind; spared?: readonly string[] },
  ): void {
    const untilMs = now() + forMs;
    const known = held.get(name);
    // A ban is not made shorter by what slows.
    if (refusal.kind === undefined && known && (known.kind !== undefined || known.untilMs > untilMs)) return;
    const spared = refusal.spared?.length ? new Set(refusal.spared) : NOBODY;
    held.set(name, { untilMs, banId: refusal.id, kind: refusal.kind, spared });
  }

  function take(told: Notice): void {
    if (told.op === 'end') held.delete(told.key);
    else if (told.op === 'slow') hold(told.key, told.ms, {});
    else hold(told.key, told.ms, told);
  }
  function tell(told: Notice): void {
    take(told);
    redis.publish(channel, JSON.stringify(told)).catch((error: Error) => {
      logger.debug({ fault: error.message }, 'other replicas were not told of a ban: they will look');
    });
  }
  function hear(from: string, message: string): void {
    if (from !== channel) return;
    try {
      take(notice.parse(JSON.parse(message)));
    } catch (error) {
      logger.warn({ err: error }, 'what was told of a ban could not be read');
    }
  }

  async function check(): Promise<void> {
    for (const [name, refusal] of [...held]) if (refusal.untilMs <= now()) held.delete(name);
    const { bans, now: at } = await readHeldBans(db, since, MOST_HELD);
    // Oldest change last: what was banned, lifted and banned again has two rows, and the active one counts.
    for (const ban of bans.filter((one) => one.remaining_ms === 0)) {
      if (held.get(ban.key)?.banId === ban.id) held.delete(ban.key);
    }
    for (const ban of bans.filter((one) => one.remaining_ms > 0)) hold(ban.key, ban.remaining_ms, ban);
    since = new Date(at.getTime() - OVERLAP_MS);
    await o.onLook?.();
  }

  return {
    find(name) {
      const refusal = held.get(name);
      if (!refusal) return undefined;
      if (refusal.untilMs > now()) return refusal;
      held.delete(name);
      return undefined;
    },
    get isEmpty() {
      return held.size === 0;
    },
    countByKind() {
      const counts = new Map<BanKind, number>();
      for (const { kind, untilMs } of held.values()) {
        if (kind !== undefined && untilMs > now()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
      }
      return counts;
    },
    slow: (name, forMs) => tell({ op: 'slow', key: name, ms: forMs }),
    start: (ban, forMs) => tell({ op: 'start', ...ban, spared: [...ban.spared], ms: forMs }),
    end: (name) => tell({ op: 'end', key: name }),
    open() {
      subscriber.on('message', hear);
      void subscriber.subscribe(channel).catch(() => undefined); // while Redis is away Postgres is looked at
      void check().catch((error: Error) =>
        logger.warn({ fault: error.message }, 'bans could not be read at the start'),
      );
      poll = runEvery('bans', o.pollMs ?? POLL_MS, logger, check);
    },
    async stop() {
      subscriber.off('message', hear);
      await poll?.stop();
    },
  };
}
