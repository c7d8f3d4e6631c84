/** What the replica that holds a node's stream does for it beside taking in events: looks at its health, sends canaries. */
import { watchHealth } from '../domains/nodes/probe';
import type { NodeRow } from '../domains/nodes/nodes.store';
import type { Schedule } from '../infra/schedule';
import type { House } from './house';

/** @returns what ends it */
export function careForNode(house: House, node: NodeRow): Schedule {
  const { config, settle, links, canaries } = house;
  const schedules: Schedule[] = [];
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
