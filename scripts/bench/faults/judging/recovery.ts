/** Measures how long it takes from a fault (or, where it lasts, from its end) until what is known is right again. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Pool } from 'pg';
import { REDIS_PREFIX } from '../cluster';

export interface Recoveries {
  /** Looks until it is so. A fault that is followed by another on the same thing before that is not counted. */
  watch(kind: string, target: string, isRight: () => Promise<boolean>): void;
  readonly times: ReadonlyMap<string, number[]>;
  /** Kinds whose state was not right in the time given. */
  readonly late: readonly string[];
  stop(): Promise<void>;
}

const LOOK_MS = 150;
const GIVE_UP_MS = 60_000;

export function createRecoveries(): Recoveries {
  const times = new Map<string, number[]>();
  const late: string[] = [];
  const running = new Map<string, { stale: boolean }>();
  const jobs = new Set<Promise<void>>();
  let stopped = false;

  async function follow(kind: string, target: string, isRight: () => Promise<boolean>): Promise<void> {
    const fromMs = Date.now();
    const mine = { stale: false };
    const before = running.get(target);
    if (before) before.stale = true;
    running.set(target, mine);
    while (!stopped && !mine.stale) {
      if (await isRight().catch(() => false)) {
        times.set(kind, [...(times.get(kind) ?? []), Date.now() - fromMs]);
        return;
      }
      if (Date.now() - fromMs > GIVE_UP_MS) {
        late.push(`${kind} of ${target}: not right after ${GIVE_UP_MS / 1000} s`);
        return;
      }
      await sleep(LOOK_MS);
    }
  }
  return {
    times,
    late,
    watch(kind, target, isRight) {
      const job: Promise<void> = follow(kind, target, isRight).finally(() => jobs.delete(job));
      jobs.add(job);
    },
    async stop() {
      stopped = true;
      await Promise.all(jobs);
    },
  };
}

/** What "right" means after each kind of fault. */
export function createAims(db: Pool, redis: Redis) {
  const none = async (sql: string, values: unknown[]): Promise<boolean> => (await db.query(sql, values)).rowCount === 0;
  return {
    /** No call and no room is thought to be on the node that was there before it died. */
    settled: (node: string, diedAt: Date) => async (): Promise<boolean> =>
      (await none(`select 1 from call_attempts where node_name = $1 and ended_at is null and placed_at < $2`, [
        node,
        diedAt,
      ])) &&
      (await none(
        `select 1 from sessions s join nodes n on n.id = s.node_id
          where n.name = $1 and s.state <> 'ended' and s.opened_at < $2`,
        [node, diedAt],
      )),
    /** It serves, and has reported since. */
    serves: (node: string, since: Date) => async (): Promise<boolean> =>
      !(await none(`select 1 from nodes where name = $1 and state = 'serving' and reported_at > $2`, [node, since])),
    /** Every node's stream is held by a replica that lives, and has been heard since. */
    followed: (nodes: readonly string[], since: Date) => async (): Promise<boolean> =>
      none(
        `select 1 from nodes where name = any($1) and state in ('serving', 'draining')
            and (reported_at is null or reported_at < $2)`,
        [nodes, since],
      ),
    /** Every call on a node holds its claim. */
    claimed: () => async (): Promise<boolean> => {
      const live = await db.query<{ id: string; node_id: string }>(
        `select id, node_id from calls where state = 'answered' and node_id is not null`,
      );
      for (const { id, node_id: nodeId } of live.rows)
        if (!(await redis.hexists(`${REDIS_PREFIX}:{claims:${nodeId}}:units`, id))) return false;
      return true;
    },
    /** The database takes what nodes report. */
    written: (since: Date) => async (): Promise<boolean> =>
      !(await none(`select 1 from nodes where reported_at > $1`, [since])),
  };
}

export type Aims = ReturnType<typeof createAims>;
