/**
 * Which call is dialled next: domains with waiting calls stand in a ring and take one turn each, however many calls one of
 * them has. The ring is in Redis and forgets nothing that matters: Postgres says which calls wait, and the sweep restores
 * what is missing. BullMQ carries signals ("somebody may take a turn") to the workers of all replicas.
 *
 * A domain that enters the ring sends a signal, and who takes a turn sends another while the ring holds more: so there
 * is one as long as there is work, and no more of them than domains. The sweep sends one again where it was lost.
 */
import { LRUCache } from 'lru-cache';
import { timeOfId } from '../../../infra/ids';
import type { Logger } from '../../../infra/logger';
import type { SignalQueue } from '../../../infra/stores/queues';
import type { Redis } from '../../../infra/stores/redis';
import type { Claims } from '../../nodes/capacity/claims';
import * as scripts from './fair-queue.scripts';

/** In BullMQ; another name than that of versions whose jobs were calls, so that both may run while one replaces the other. */
export const DIAL_QUEUE = 'dialing';

/** Whoever took a call and has not placed it by then is dead, or so slow that another may try: only one will succeed. */
const TAKEN_MS = 6000;
/** A domain without a node looks again after this; then after twice as long, up to the longest. A claim given back wakes it. */
const DRY_FIRST_MS = 400;
const DRY_LONGEST_MS = 1000;
/** So all domains together look a hundred times a second at most. */
const DRY_PER_DOMAIN_MS = 10;
/** A domain at its limit is woken by its own calls; this is for a limit that was raised, or a wake-up that was lost. */
const FULL_MS = 2000;
/** Calls whose wait is measured at once. */
const MOST_TIMED = 10_000;

export interface WaitingCall {
  domainId: string;
  callId: string;
}

export interface TakenCall extends WaitingCall {
  /** Its place among its domain's. */
  order: number;
  /** How often its domain found no node before. */
  dryTries: number;
}

export interface FairQueue {
  /** A call that waits to be dialled; adding it twice changes nothing. */
  add(call: WaitingCall): Promise<void>;
  /** The next domain's first call; undefined where none has a turn. */
  next(): Promise<TakenCall | undefined>;
  /** Back to its place after a while; its domain goes on with others. */
  defer(call: TakenCall, pauseMs: number): Promise<void>;
  /** Back to its place; its domain takes no turn until one of its calls rings no more. */
  suspendFull(call: TakenCall): Promise<void>;
  /** Behind its domain's other calls; the domain takes no turn for a while, or until capacity is given back. */
  suspendDry(call: TakenCall, longestMs: number): Promise<void>;
  /** The domain found a node: its next wait begins short. */
  noteNode(call: TakenCall): Promise<void>;
  /** A call of the domain rings no more. @param overId where it also waits no more */
  resumeDomain(domainId: string, overId?: string): Promise<void>;
  /** Capacity was given back somewhere. */
  resumeDry(): Promise<void>;
  /** What waits by what Postgres says; whatever of it is missing is put back. */
  restore(calls: readonly WaitingCall[]): Promise<void>;
}

/** Older calls of a domain come first. */
const orderOf = (callId: string): number => timeOfId(callId);

/** @param o for tests, which do not wait so long; and who is told how long a call waited for its first turn */
export function createFairQueue(
  redis: Redis,
  prefix: string,
  signals: Pick<SignalQueue, 'send'>,
  o: { takenMs?: number; fullMs?: number; observeWait?: (seconds: number) => void } = {},
): FairQueue {
  const { takenMs = TAKEN_MS, fullMs = FULL_MS, observeWait } = o;
  /** When calls came that this replica has queued and nobody here has taken yet. */
  const addedAt = new LRUCache<string, number>({ max: MOST_TIMED });
  const base = `${prefix}:{dialing}`;
  const run = (script: string, ...args: (string | number)[]): Promise<unknown> => redis.eval(script, 1, base, ...args);
  const signalIf = async (entered: unknown): Promise<void> => {
    if (Number(entered) > 0) await signals.send();
  };
  return {
    async add({ domainId, callId }) {
      if (observeWait) addedAt.set(callId, performance.now());
      await signalIf(await run(scripts.ADD, domainId, callId, orderOf(callId)));
    },
    async next() {
      const found = (await run(scripts.NEXT, takenMs)) as [string, string, string, number, string] | null;
      if (!found) return undefined;
      const [domainId, callId, order, left, dryTries] = found;
      const began = addedAt.get(callId);
      if (began !== undefined) observeWait?.((performance.now() - began) / 1000);
      addedAt.delete(callId);
      // Whoever was given the turn does not wait for it: one that is lost is sent again by the sweep.
      signalIf(left).catch(() => undefined);
      return { domainId, callId, order: Number(order), dryTries: Number(dryTries) };
    },
    async defer({ domainId, callId, order }, pauseMs) {
      await run(scripts.DEFER, domainId, callId, order, pauseMs);
      await signals.send(pauseMs);
    },
    suspendFull: async ({ domainId, callId, order }) =>
      void (await run(scripts.SUSPEND_FULL, domainId, callId, order, fullMs)),
    async suspendDry({ domainId, callId }, longestMs) {
      const limits = [DRY_FIRST_MS, DRY_LONGEST_MS, longestMs, DRY_PER_DOMAIN_MS];
      await signals.send(Number(await run(scripts.SUSPEND_DRY, domainId, callId, ...limits)));
    },
    async noteNode({ domainId, dryTries }) {
      if (dryTries > 0) await redis.hdel(`${base}:tries`, domainId);
    },
    resumeDomain: async (domainId, overId = '') => signalIf(await run(scripts.RESUME_FULL, domainId, overId)),
    resumeDry: async () => signalIf(await run(scripts.RESUME_DRY)),
    async restore(calls) {
      const args = calls.flatMap(({ domainId, callId }) => [domainId, callId, orderOf(callId)]);
      await signalIf(await run(scripts.RESTORE, ...args));
    },
  };
}

/** Claims that, given back, let a domain look for a node again which found none. */
export function tellQueue(claims: Claims, queue: Pick<FairQueue, 'resumeDry'>, logger: Logger): Claims {
  return {
    ...claims,
    async release(nodeId, callIds, nowMs) {
      await claims.release(nodeId, callIds, nowMs);
      queue.resumeDry().catch((error: unknown) => logger.debug({ err: error }, 'those that wait look by themselves'));
    },
  };
}
