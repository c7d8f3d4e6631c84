/** Breaks things by chance and mends them again: which, when and for how long comes from the seed alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Random } from '../random';
import type { Aims, Recoveries } from '../judging/recovery';
import type { Replica, Cluster, ClusterNode } from '../cluster';

/** How often each kind comes. */
export const FAULTS = {
  node_kill: 14,
  node_freeze: 11,
  node_cut: 11,
  node_drop: 10,
  node_slow: 7,
  node_refuse: 8,
  node_lose: 7,
  replica_kill: 8,
  replica_pause: 9,
  redis_restart: 4,
  redis_flush: 4,
  redis_pause: 4,
  postgres_restart: 3,
} as const;
export type FaultKind = keyof typeof FAULTS;

export interface Injected {
  number: number;
  kind: FaultKind;
  target: string;
  atMs: number;
  lastedMs: number;
}

export interface InjectOptions {
  cluster: Cluster;
  redis: Redis;
  random: Random;
  recoveries: Recoveries;
  aims: Aims;
  count: number;
  /** Between the beginnings of two faults, on the average. */
  everyMs: number;
  /** At most so many at once. */
  atOnce: number;
  /** No fault begins after this. */
  untilMs: number;
  report: (injected: Injected) => void;
}

/** Resolves when all were injected and mended. */
export async function injectFaults(o: InjectOptions): Promise<Injected[]> {
  const { cluster, random } = o;
  const busy = new Set<string>();
  const done: Injected[] = [];
  const running = new Set<Promise<void>>();
  let number = 0;
  while (number < o.count && Date.now() < o.untilMs) {
    const kind = random.weighed(FAULTS);
    const target = chooseTarget(kind);
    const ms = random.int(200, 6000);
    const pause = random.int(0, 2 * o.everyMs);
    while (running.size >= o.atOnce) await Promise.race(running);
    if (target && !busy.has(target.name)) {
      number += 1;
      const injected: Injected = { number, kind, target: target.name, atMs: Date.now(), lastedMs: 0 };
      done.push(injected);
      busy.add(target.name);
      o.report(injected);
      const one: Promise<void> = carryOut(o, kind, target, ms)
        .catch((error: unknown) => {
          throw new Error(`${kind} of ${target.name} could not be carried out`, { cause: error });
        })
        .finally(() => {
          injected.lastedMs = Date.now() - injected.atMs;
          busy.delete(target.name);
          running.delete(one);
        });
      running.add(one);
      one.catch(() => undefined);
    }
    await sleep(pause);
  }
  await Promise.all(running);
  return done;

  type Target = ClusterNode | Replica | { name: 'redis' } | { name: 'postgres' };
  function chooseTarget(kind: FaultKind): Target | undefined {
    if (kind.startsWith('node_')) return random.pick(cluster.nodes);
    if (kind.startsWith('redis_')) return { name: 'redis' };
    if (kind.startsWith('postgres_')) return { name: 'postgres' };
    return random.pick(cluster.replicas);
  }
}

const AGAIN_FOR_MS = 240_000;
const AGAIN_EVERY_MS = 500;

/** As whatever keeps processes up does: a replica can't start while Postgres is away, nor a node while nobody answers. */
export async function again(start: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + AGAIN_FOR_MS;
  for (;;) {
    try {
      return await start();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(AGAIN_EVERY_MS);
    }
  }
}

async function carryOut(o: InjectOptions, kind: FaultKind, target: { name: string }, ms: number): Promise<void> {
  const { cluster, redis, recoveries, aims, random } = o;
  const node = target as ClusterNode;
  const replica = target as Replica;
  const { name } = target;
  const at = new Date();
  const mended = (): Date => new Date();
  switch (kind) {
    case 'node_kill':
      await cluster.harm(node, 'kill');
      recoveries.watch('node_kill → calls and rooms settled', name, aims.settled(name, at));
      await sleep(ms);
      return again(() => cluster.harm(node, 'restart'));
    case 'node_freeze':
      await cluster.harm(node, 'freeze');
      await sleep(ms * 2);
      await cluster.harm(node, 'thaw');
      return recoveries.watch('node_freeze, thawed → serves', name, aims.serves(name, mended()));
    case 'node_cut': {
      const reset = random.chance(50);
      await cluster.harm(node, 'cut');
      await sleep(ms * 2);
      await cluster.harm(node, reset ? 'heal_reset' : 'heal');
      return recoveries.watch('node_cut, healed → serves', name, aims.serves(name, mended()));
    }
    case 'node_drop':
      await cluster.harm(node, 'drop');
      return recoveries.watch('node_drop → serves', name, aims.serves(name, at));
    case 'node_slow':
      await cluster.harm(node, 'slow', { ms: random.int(100, 3500) });
      await sleep(ms);
      return cluster.harm(node, 'fast');
    case 'node_refuse':
      return cluster.harm(node, 'refuse', { count: random.int(1, 4) });
    case 'node_lose':
      return cluster.harm(node, 'lose', { count: random.int(1, 4) });
    case 'replica_kill': {
      await replica.kill();
      const since = new Date(Date.now() + 1);
      recoveries.watch(
        'replica_kill → every node followed',
        name,
        aims.followed(
          cluster.nodes.map((n) => n.name),
          since,
        ),
      );
      await sleep(ms);
      return again(() => replica.start());
    }
    case 'replica_pause':
      replica.signal('SIGSTOP');
      recoveries.watch(
        'replica_pause → every node followed',
        name,
        aims.followed(
          cluster.nodes.map((n) => n.name),
          at,
        ),
      );
      await sleep(ms * 2);
      return replica.signal('SIGCONT');
    case 'redis_restart':
      await cluster.stopRedis();
      await sleep(ms / 2);
      await cluster.startRedis();
      return recoveries.watch('redis_restart → live calls claimed', name, aims.claimed());
    case 'redis_flush':
      await redis.flushall();
      return recoveries.watch('redis_flush → live calls claimed', name, aims.claimed());
    case 'redis_pause':
      await redis.call('client', 'pause', String(Math.round(ms / 2)), 'all');
      await sleep(ms / 2);
      return recoveries.watch('redis_pause → live calls claimed', name, aims.claimed());
    case 'postgres_restart': {
      await cluster.stopPostgres();
      await sleep(ms / 3);
      await cluster.startPostgres();
      return recoveries.watch('postgres_restart → reports are written', name, aims.written(mended()));
    }
  }
}
