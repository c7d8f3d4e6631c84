/**
 * Takes in what all nodes report, in batches: one transaction for what came within a few milliseconds, whoever sent it.
 * What one node reports is handled in the order it came in; a step of its own (a snapshot, its death) waits for all that
 * came before it, and holds back what comes behind. Nodes do not wait for each other's steps.
 */
import { runInHalves } from '../../../infra/flow/in-halves';
import { isUnreachable } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import type { NodeEvent } from '../../../freeswitch/esl';
import type { NodeRow } from '../nodes.store';

/** One report of one node. */
export interface NodeFact<E extends NodeEvent = NodeEvent> {
  node: NodeRow;
  event: E;
  /** By our clock, milliseconds since 1970. */
  arrivedMs: number;
}

/**
 * Facts of one kind, which are handled together. A node's facts of different lanes never overtake each other: the next lane's
 * begin when those before are done.
 */
export interface IntakeLane {
  name: string;
  /** In one batch. */
  most: number;
  /** How many batches of the lane may run beside each other. */
  batches: number;
  /** How long the first of a batch waits for company: without, batches of one or two cost ten times as much for each fact. */
  gatherMs: number;
  /** May be given the same facts again: after a lost database connection, or beside fewer others. */
  take(facts: readonly NodeFact[]): Promise<void>;
}

export interface BatchSettings {
  logger: Logger;
  lanes: readonly IntakeLane[];
  /** @returns a lane's name; undefined: nobody wants to know */
  laneOf(event: NodeEvent): string | undefined;
  /** Milliseconds of any clock that goes forward only. */
  now: () => number;
}

/** The reports of one node, in their order. */
export interface NodeQueue {
  add(event: NodeEvent, arrivedMs: number): void;
  /** In its turn: after all that came before, and before what comes behind. */
  run(step: () => Promise<void>): void;
  /** What has not begun by now is forgotten: the next who looks after the node compares. */
  end(): Promise<void>;
}

export interface EventBatches {
  open(node: NodeRow): NodeQueue;
}

/** Kept of one node while the database is away; past this the snapshot after its return tells what was missed. */
const BACKLOG_LIMIT = 10_000;
const DB_RETRY_MS = 250;

interface WaitingFact {
  fact: NodeFact;
  lane: LaneState;
  sinceMs: number;
}
type Waiting = WaitingFact | { step: () => Promise<void> };

interface QueueState {
  node: NodeRow;
  waiting: Waiting[];
  /** Of `waiting`, those that are taken already. */
  from: number;
  isBusy: boolean;
  isEnded: boolean;
  /** Called when what runs is done. */
  onIdle: (() => void) | undefined;
}

interface LaneState {
  lane: IntakeLane;
  running: number;
  /** Facts of this lane in all queues. */
  count: number;
  /** Queues whose next is a fact of this lane, in the order in which they came to it. */
  ready: Set<QueueState>;
  timer: NodeJS.Timeout | undefined;
}

/** What a queue gives to a batch. */
interface Share {
  queue: QueueState;
  facts: NodeFact[];
}

export function createEventBatches(settings: BatchSettings): EventBatches {
  const { logger, now } = settings;
  const lanes = new Map<string, LaneState>(
    settings.lanes.map((lane) => [lane.name, { lane, running: 0, count: 0, ready: new Set(), timer: undefined }]),
  );

  /** Looks at what is next in a queue that is not busy. */
  function advance(queue: QueueState): void {
    if (queue.isBusy) return;
    if (queue.isEnded) forget(queue);
    if (queue.from > 1000 || queue.from >= queue.waiting.length) {
      queue.waiting.splice(0, queue.from);
      queue.from = 0;
    }
    const next = queue.waiting[queue.from];
    if (!next) return queue.onIdle?.();
    if ('step' in next) {
      queue.from += 1;
      queue.isBusy = true;
      void runStep(queue, next.step).then(() => release(queue));
      return;
    }
    next.lane.ready.add(queue);
    consider(next.lane);
  }

  function forget(queue: QueueState): void {
    for (const waiting of queue.waiting.slice(queue.from)) if ('lane' in waiting) waiting.lane.count -= 1;
    queue.waiting = [];
    queue.from = 0;
  }

  function release(queue: QueueState): void {
    queue.isBusy = false;
    advance(queue);
  }

  async function runStep(queue: QueueState, step: () => Promise<void>): Promise<void> {
    while (!queue.isEnded) {
      try {
        return await step();
      } catch (error) {
        if (!isUnreachable(error)) {
          logger.error({ err: error, node: queue.node.name }, 'a report of a node could not be taken in');
          return;
        }
        await pause();
      }
    }
  }

  /** Begins a batch where one is due: it is full, or the first of it has waited for long enough. */
  function consider(state: LaneState): void {
    if (state.running >= state.lane.batches || state.ready.size === 0) return;
    const [first] = state.ready;
    const head = first!.waiting[first!.from] as WaitingFact | undefined;
    const restMs = head ? state.lane.gatherMs - (now() - head.sinceMs) : 0;
    if (restMs > 0 && state.count < state.lane.most) {
      state.timer ??= setTimeout(() => {
        state.timer = undefined;
        consider(state);
      }, restMs);
      return;
    }
    clearTimeout(state.timer);
    state.timer = undefined;
    const batch = gather(state);
    if (batch.length === 0) return;
    state.running += 1;
    void takeBatch(state.lane, batch).then(() => {
      state.running -= 1;
      consider(state);
    });
    consider(state);
  }

  /** The next facts of each queue up to one of another lane; whoever waits longest is first. */
  function gather(state: LaneState): Share[] {
    const shares: Share[] = [];
    let room = state.lane.most;
    for (const queue of state.ready) {
      if (room === 0) break;
      state.ready.delete(queue);
      const facts: NodeFact[] = [];
      for (; room > 0 && !queue.isEnded; room -= 1) {
        const next = queue.waiting[queue.from];
        if (!next || !('lane' in next) || next.lane !== state) break;
        queue.from += 1;
        state.count -= 1;
        facts.push(next.fact);
      }
      if (facts.length === 0) {
        advance(queue);
        continue;
      }
      queue.isBusy = true;
      shares.push({ queue, facts });
    }
    return shares;
  }

  /** As often as the database is away, for as long as somebody still looks after one of the nodes. */
  async function takeBatch(lane: IntakeLane, batch: readonly Share[]): Promise<void> {
    let living = batch;
    while (living.length > 0) {
      const facts = living.flatMap((share) => share.facts);
      const isDone = await takeFacts(lane, facts).then(
        () => true,
        () => false, // only the database was away: all else has been set aside
      );
      if (!isDone) await pause();
      for (const { queue } of living) if (isDone || queue.isEnded) release(queue);
      living = isDone ? [] : living.filter(({ queue }) => queue.isBusy && !queue.isEnded);
    }
  }

  /** One that can't be taken in takes no other along. */
  const takeFacts = (lane: IntakeLane, facts: readonly NodeFact[]): Promise<void> =>
    runInHalves(facts, lane.take, ({ node, event }, error) => {
      logger.error({ err: error, node: node.name, event: event.type }, 'a report of a node could not be taken in');
    });

  return {
    open(node) {
      const queue: QueueState = { node, waiting: [], from: 0, isBusy: false, isEnded: false, onIdle: undefined };
      const enqueue = (item: Waiting): void => {
        if (queue.isEnded || queue.waiting.length - queue.from >= BACKLOG_LIMIT) return;
        queue.waiting.push(item);
        if ('lane' in item) item.lane.count += 1;
        if (queue.waiting.length - queue.from === 1) advance(queue);
      };
      return {
        add(event, arrivedMs) {
          const name = settings.laneOf(event);
          const lane = name === undefined ? undefined : lanes.get(name);
          if (!lane) return;
          enqueue({ fact: { node, event, arrivedMs }, lane, sinceMs: now() });
          if (lane.count === lane.lane.most) consider(lane);
        },
        run: (step) => enqueue({ step }),
        async end() {
          queue.isEnded = true;
          for (const { ready } of lanes.values()) ready.delete(queue);
          if (!queue.isBusy) forget(queue);
          else await new Promise<void>((resolve) => (queue.onIdle = resolve));
        },
      };
    },
  };
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, DB_RETRY_MS));
