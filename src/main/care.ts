/** What the replica that holds a node's stream does for it beside taking in events: looks at its health, sends canaries, compares again. */
import { compareChannels } from '../domains/calls/reconcile';
import { endStrays } from '../domains/calls/strays';
import { watchHealth } from '../domains/nodes/probe';
import type { NodeRow } from '../domains/nodes/nodes.store';
import type { HeldStream } from '../domains/nodes/stream';
import { runEvery, type Schedule } from '../infra/schedule';
import type { House } from './house';

/** How often a node is compared while all seems well: what no event told of is settled at the second look. */
const COMPARE_MS = 5000;

/** Channels without a call are rare, and each has to be asked: in every so many comparisons. */
const STRAYS_EVERY = 4;

/** @returns what ends it */
export function careForNode(house: House, node: NodeRow, stream: HeldStream): Schedule {
  const { config, settle, links, canaries } = house;
  const schedules: Schedule[] = [compareAgain(house, node, stream)];
  if (config.healthSeconds > 0) {
    schedules.push(watchHealth({ ...settle, links, everyMs: config.healthSeconds * 1000 }, node.id));
  }
  if (config.canarySeconds > 0) schedules.push(canaries.schedule(node.id, config.canarySeconds * 1000));
  return {
    async stop() {
      await Promise.all(schedules.map((schedule) => schedule.stop()));
    },
  };
}

/** An answer that came too late for its channel leaves a call behind that no event will ever end, on a node that is well. */
function compareAgain({ config, logger, rooms, settle }: House, node: NodeRow, stream: HeldStream): Schedule {
  const deps = { ...settle, commandTimeoutMs: config.nodeCommandTimeoutMs };
  const legs = new Set<string>();
  const members = new Set<string>();
  let looks = 0;
  return runEvery(`comparing ${node.name}`, COMPARE_MS, logger, () => {
    const connection = stream.connection();
    // In its turn: events that are taken in already are not looked for again.
    stream.run(async () => {
      if (!connection?.isOpen) return;
      await compareChannels(deps, node, connection, new Date(), legs);
      await rooms.compare(node, connection, members);
      if (looks++ % STRAYS_EVERY === 0) await endStrays(deps, node, connection, new Date());
    });
    return Promise.resolve();
  });
}
