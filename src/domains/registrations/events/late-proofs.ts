/** Registrations of whose password nothing is known yet: another replica may have checked it a moment ago. They hold nobody else up. */
import { isUnreachable } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';

export interface LateProofs {
  /** Something of this login waits, at this node: what comes behind it waits with it. */
  isWaiting(key: string): boolean;
  /** Runs it behind what waits under the same key. @returns false where too many of this node wait */
  add(nodeId: string, key: string, run: () => Promise<void>): boolean;
  /** Until now nothing waits any more. */
  settled(): Promise<void>;
  stop(): void;
}

/** Past this it is a node that makes logins up: no other node's phones are refused for that. */
const MOST_OF_A_NODE = 1000;
const DB_RETRY_MS = 250;

export function createLateProofs(o: { logger: Logger; sleep: (ms: number) => Promise<unknown> }): LateProofs {
  const tails = new Map<string, Promise<void>>();
  const waiting = new Map<string, number>();
  let stopped = false;

  async function run(work: () => Promise<void>): Promise<void> {
    while (!stopped) {
      try {
        return await work();
      } catch (error) {
        if (!isUnreachable(error)) {
          o.logger.error({ err: error }, 'a phone whose password was proved late could not be taken in');
          return;
        }
        await o.sleep(DB_RETRY_MS);
      }
    }
  }
  return {
    isWaiting: (key) => tails.has(key),
    add(nodeId, key, work) {
      const ofNode = waiting.get(nodeId) ?? 0;
      if (ofNode >= MOST_OF_A_NODE) return false;
      waiting.set(nodeId, ofNode + 1);
      const tail: Promise<void> = (tails.get(key) ?? Promise.resolve())
        .then(() => run(work))
        .finally(() => {
          waiting.set(nodeId, waiting.get(nodeId)! - 1);
          if (tails.get(key) === tail) tails.delete(key);
        });
      tails.set(key, tail);
      return true;
    },
    async settled() {
      while (tails.size > 0) await Promise.all(tails.values());
    },
    stop: () => void (stopped = true),
  };
}
