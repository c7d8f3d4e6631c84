/** What the replica that holds a node's stream does for it beside taking in events: looks at its health, sends canaries, compares again. */
import { reconcileChannels, type Suspects } from '../domains/calls/reconcile/reconcile-node';
import { createReconcileSchedule, type ReconcileSchedule } from '../domains/nodes/connections/reconcile-schedule';
import type { NetworkLists } from '../domains/nodes/connections/acl-refresh';
import { watchModules, type Ask } from '../domains/nodes/features/ask-modules';
import { watchHealth } from '../domains/nodes/health/probe';
import type { NodeRow } from '../domains/nodes/nodes.store';
import type { EventIntake } from '../domains/nodes/connections/event-intake';
import { runEvery, type Interval } from '../infra/flow/interval';
import { storeClock } from '../infra/store-clock';
import type { Container } from './container';

/** How often a node is compared while all seems well: what no event told of is settled at the second look. */
const RECONCILE_MS = 5000;
/** How often it is seen whether a node's turn has come. */
const LOOK_MS = 1000;

/** A look may be left out where too much waits for its turn; then another one is tried. */
const LEFT_OUT_MS = 60_000;

/** One for all nodes that this replica looks after. @returns what begins to care for a node, and what ends that */
export function createNodeSupervision(
  container: Container,
  lists: NetworkLists,
): (node: NodeRow, stream: EventIntake) => Interval {
  const pace = createReconcileSchedule({ leastMs: RECONCILE_MS, random: Math.random });
  return (node, stream) => {
    const forget = lists.enter(node.name, stream);
    const supervision = superviseNode(container, pace, node, stream);
    return {
      stop() {
        forget();
        return supervision.stop();
      },
    };
  };
}

function superviseNode(container: Container, pace: ReconcileSchedule, node: NodeRow, stream: EventIntake): Interval {
  const { config, settle, links, canaryScheduler } = container;
  pace.enter(node.id, node.session_count, storeClock.nowMs());
  const schedules: Interval[] = [reconcileAgain(container, pace, node, stream)];
  const ask = (): Ask | undefined => {
    const connection = stream.connection();
    const timeoutMs = container.linkSettings.commandTimeoutMs;
    return connection && ((command) => connection.api(command, { timeoutMs }));
  };
  schedules.push(watchModules(settle, node, ask));
  if (config.healthSeconds > 0) {
    schedules.push(watchHealth({ ...settle, links, everyMs: config.healthSeconds * 1000 }, node.id));
  }
  if (config.canarySeconds > 0) schedules.push(canaryScheduler.schedule(node.id, config.canarySeconds * 1000));
  return {
    async stop() {
      pace.leave(node.id);
      container.reconcile.memories.forget(node.id);
      await Promise.all(schedules.map((schedule) => schedule.stop()));
    },
  };
}

/** An answer that came too late for its channel leaves a call behind that no event will ever end, on a node that is well. */
function reconcileAgain(container: Container, pace: ReconcileSchedule, node: NodeRow, stream: EventIntake): Interval {
  const { logger, reconcile, rooms } = container;
  const calls: Suspects = { legs: new Set(), looks: 0 };
  const members = new Set<string>();
  let channels: number | undefined;
  /** Set far off while one waits or is under way, then as far as it took. */
  let restUntilMs = 0;
  return runEvery(`comparing ${node.name}`, LOOK_MS, logger, () => {
    if (storeClock.nowMs() < restUntilMs || !pace.acquireLease(node.id, channels, storeClock.nowMs()))
      return Promise.resolve();
    restUntilMs = storeClock.nowMs() + LEFT_OUT_MS;
    const connection = stream.connection();
    // In its turn: events that are taken in already are not looked for again.
    stream.run(async () => {
      const beganMs = storeClock.nowMs();
      try {
        if (!connection?.isOpen) return;
        channels = await reconcileChannels(reconcile, node, connection, storeClock.now(), calls);
        await rooms.compare(node, connection, members);
      } finally {
        // Else, on a machine that is too slow, what a node reports would wait ever longer behind looks at it.
        restUntilMs = 2 * storeClock.nowMs() - beganMs;
      }
    });
    return Promise.resolve();
  });
}
