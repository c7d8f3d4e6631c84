/** What a node's reports make us ask it for: its own one after the other, and no other node's reports wait for its answers. */
import type { Logger } from '../../../infra/logger';

export interface Errands {
  /** @returns false where too many of this node wait: a sweep finds what was not done */
  add(nodeId: string, run: () => Promise<unknown>): boolean;
}

/** Past this the node answers too slowly, or reports what it makes up. */
const MOST_OF_A_NODE = 100;

export function createErrands(logger: Logger): Errands {
  const queues = new Map<string, (() => Promise<unknown>)[]>();

  async function work(nodeId: string, queue: (() => Promise<unknown>)[]): Promise<void> {
    for (let run = queue[0]; run; run = queue[0]) {
      await run().catch((error: unknown) => logger.warn({ err: error, nodeId }, 'an errand to a node failed'));
      queue.shift();
    }
    queues.delete(nodeId);
  }
  return {
    add(nodeId, run) {
      const queue = queues.get(nodeId) ?? [];
      if (queue.length >= MOST_OF_A_NODE) return false;
      queue.push(run);
      if (queue.length > 1) return true;
      queues.set(nodeId, queue);
      void work(nodeId, queue);
      return true;
    },
  };
}
