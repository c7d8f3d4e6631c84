/** Sends a canary into a node: one at a time, with its capacity claimed, on a schedule or because somebody asks. */
import { SwitchyardError } from '../../../../errors';
import { createId } from '../../../../infra/ids';
import type { Redis } from '../../../../infra/stores/redis';
import type { Interval } from '../../../../infra/flow/interval';
import { storeClock } from '../../../../infra/store-clock';
import { createLeaderLease } from '../../../../infra/stores/leader-lease';
import { makeCanaryToken } from './token';
import { makeCanaryCall } from './canary';
import type { Claims } from '../../capacity/claims';
import { recordHealth, type CanaryResult, type HealthDeps } from '../health';
import { CANARY } from '../../limits';
import type { NodeConnections } from '../../connections/node-connections';
import { findNode, type NodeRow } from '../../nodes.store';

export interface CanarySchedulerDeps extends HealthDeps {
  links: Pick<NodeConnections, 'reach' | 'isUp'>;
  claims: Pick<Claims, 'claim' | 'release'>;
  redis: Redis;
  prefix: string;
  secretKey: Buffer;
  countCanary?: (ok: boolean) => void;
  /** Answers in [0, 1). */
  random: () => number;
  /** Aborts what is under way when Switchyard stops. */
  signal: AbortSignal;
}

/** Longer than any canary takes, cleaning up included. */
const LEASE_MS = CANARY.deadlineMs + 8000;
/** A connection that is just being made is waited for. */
const REACH_MS = 1000;
/** Tones that a telephone's line carries well. */
const LOWEST_HZ = 430;
const HIGHEST_HZ = 1900;

export interface CanaryScheduler {
  /**
   * Runs one now and writes its result down.
   * @throws not_found, node_unreachable, conflict where one is under way or the node is nearly full
   */
  run(nodeId: string): Promise<CanaryResult>;
  /** Again and again, until it is stopped. @param everyMs 0: never */
  schedule(nodeId: string, everyMs: number): Interval;
}

export function createCanaryScheduler(deps: CanarySchedulerDeps): CanaryScheduler {
  async function claimed<T>(node: NodeRow, work: () => Promise<T>): Promise<T> {
    const id = createId();
    const capacity = CANARY.mostUsedShare * Number(node.effective_units ?? node.capacity_units);
    const granted = await deps.claims.claim(node.id, id, CANARY.units, capacity, storeClock.nowMs());
    if (!granted) throw new SwitchyardError('conflict', `${node.name} is nearly full: it gets no canary call now.`);
    try {
      return await work();
    } finally {
      await deps.claims.release(node.id, id, storeClock.nowMs()).catch(() => undefined); // else it expires by itself
    }
  }

  async function send(node: NodeRow, signal: AbortSignal): Promise<CanaryResult> {
    const toneHz = LOWEST_HZ + Math.floor(deps.random() * (HIGHEST_HZ - LOWEST_HZ));
    const name = makeCanaryToken(deps.secretKey, node.id, toneHz, storeClock.nowMs());
    const connection = await deps.links.reach(node.id, REACH_MS);
    const result = await makeCanaryCall({ connection, name, toneHz, signal });
    deps.countCanary?.(result.ok);
    return result;
  }

  async function inTurn<T>(node: NodeRow, work: () => Promise<T>): Promise<T> {
    const lease = createLeaderLease(deps.redis, `${deps.prefix}:canary:${node.id}`, LEASE_MS);
    if (!(await lease.acquire()))
      throw new SwitchyardError('conflict', `A canary call on ${node.name} is already running.`);
    try {
      return await claimed(node, work);
    } finally {
      await lease.release();
    }
  }

  const perform = async (node: NodeRow, signal: AbortSignal): Promise<CanaryResult> =>
    inTurn(node, () => send(node, signal));

  async function run(nodeId: string): Promise<CanaryResult> {
    const node = await findNode(deps.db, nodeId);
    if (!node) throw new SwitchyardError('not_found', 'No such node.');
    const result = await perform(node, deps.signal);
    await recordHealth(deps, nodeId, { canary: result });
    return result;
  }

  /** A node that was well is tried twice: one stumble must not empty the pool. */
  async function runScheduled(nodeId: string, signal: AbortSignal): Promise<'ok' | 'failed' | 'not_told'> {
    const node = await findNode(deps.db, nodeId);
    if (node?.state !== 'serving' || !deps.links.isUp(nodeId)) return 'not_told';
    let result = await perform(node, signal);
    if (!result.ok && node.canary?.ok !== false) {
      deps.logger.warn({ node: node.name, failure: result.failure }, 'a canary failed; it is tried once more');
      result = await perform(node, signal);
    }
    await recordHealth(deps, nodeId, { canary: result });
    return result.ok ? 'ok' : 'failed';
  }

  return {
    run,
    schedule(nodeId, everyMs) {
      let timer: NodeJS.Timeout | undefined;
      let running: Promise<void> = Promise.resolve();
      let stopped = everyMs <= 0;
      const stopping = new AbortController();
      const signal = AbortSignal.any([deps.signal, stopping.signal]);
      const next = (pauseMs: number): void => {
        if (stopped) return;
        timer = setTimeout(() => {
          running = runScheduled(nodeId, signal)
            .catch((error: unknown) => {
              deps.logger.debug({ err: error, nodeId }, 'a canary says nothing now');
              return 'not_told' as const;
            })
            .then((told) => {
              const usual = everyMs * (0.9 + 0.2 * deps.random());
              next(told === 'ok' ? usual : Math.min(usual, CANARY.retryMs));
            });
        }, pauseMs);
      };
      // The first comes soon, and those of a thousand nodes not at once.
      next(everyMs * (0.05 + 0.45 * deps.random()));
      return {
        async stop() {
          stopped = true;
          stopping.abort();
          clearTimeout(timer);
          await running;
        },
      };
    },
  };
}
