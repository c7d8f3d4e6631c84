/** What a drain brings about while it goes on: phones are given up, and at its deadline rooms move. */
import { movePhones } from '../domains/nodes/drain/phones';
import { listNodeRows, type NodeRow } from '../domains/nodes/nodes.store';
import { reportLimitMs } from '../domains/nodes/limits';
import { runEvery } from '../infra/flow/interval';
import { storeClock } from '../infra/store-clock';
import type { Container } from './container';

const LOOK_MS = 1000;

/** Several replicas may look at once: each step is taken once by the rows, or changes nothing the second time. */
export function followDrains(container: Container): () => Promise<void> {
  const { config, links, logger } = container;
  const { db, log } = container.stores;
  const phones = {
    db,
    log,
    logger,
    reportLimitMs: reportLimitMs(config.heartbeatSeconds),
    send: (nodeId: string, command: Parameters<typeof links.api>[1]): void => {
      links
        .api(nodeId, command)
        .catch((error: unknown) => logger.debug({ err: error, nodeId }, 'a node is told of its phones later'));
    },
  };
  const emptyRooms = createRoomEmptying(container);
  const check = runEvery('drains', LOOK_MS, logger, async () => {
    const nodes = await listNodeRows(db);
    emptyRooms.check(nodes);
    await movePhones(phones, nodes, storeClock.now());
  });
  return async () => {
    await check.stop();
    await emptyRooms.settled();
  };
}

/** Once for each deadline and replica; moving twice changes nothing. */
function createRoomEmptying(container: Container): {
  check(nodes: readonly NodeRow[]): void;
  settled(): Promise<unknown>;
} {
  const done = new Map<string, number>();
  const running = new Set<Promise<void>>();
  return {
    check(nodes) {
      const now = storeClock.nowMs();
      for (const node of nodes) {
        const deadlineMs = node.drain_deadline_at?.getTime();
        if (node.state !== 'draining' || deadlineMs === undefined || deadlineMs > now) continue;
        if (done.get(node.id) === deadlineMs) continue;
        done.set(node.id, deadlineMs);
        const emptying: Promise<void> = container.rooms
          .empty(node)
          .catch((error: unknown) => {
            done.delete(node.id);
            container.logger.warn({ err: error, node: node.name }, 'the rooms of a draining node could not be moved');
          })
          .finally(() => running.delete(emptying));
        running.add(emptying);
      }
    },
    settled: () => Promise.all(running),
  };
}
