/** Says when a node's lists are read again: often in a small pool, and never so often that reading them is most of the work. */

/** One replica reads no more channels a second than this; it is about a tenth of a core. */
const CHANNELS_A_SECOND = 4000;

export interface ReconcileSchedule {
  /** Of a node that this replica has just begun to look after. @param channels what it last reported */
  enter(nodeId: string, channels: number, nowMs: number): void;
  /** True once each time that the node's turn has come. @param channels what it reported since */
  acquireLease(nodeId: string, channels: number | undefined, nowMs: number): boolean;
  leave(nodeId: string): void;
}

/** @param o.leastMs between two looks at a node @param o.random answers in [0, 1): a thousand nodes are not looked at at once */
export function createReconcileSchedule(o: { leastMs: number; random: () => number }): ReconcileSchedule {
  const nodes = new Map<string, { channels: number; dueMs: number }>();
  let channelsOfAll = 0;
  const pauseMs = (): number => Math.max(o.leastMs, (channelsOfAll / CHANNELS_A_SECOND) * 1000);

  function leave(nodeId: string): void {
    channelsOfAll -= nodes.get(nodeId)?.channels ?? 0;
    nodes.delete(nodeId);
  }
  return {
    enter(nodeId, channels, nowMs) {
      leave(nodeId);
      channelsOfAll += channels;
      nodes.set(nodeId, { channels, dueMs: nowMs + o.leastMs + o.random() * (pauseMs() - o.leastMs) });
    },
    acquireLease(nodeId, channels, nowMs) {
      const node = nodes.get(nodeId);
      if (!node) return false;
      if (channels !== undefined) {
        channelsOfAll += channels - node.channels;
        node.channels = channels;
      }
      if (nowMs < node.dueMs) return false;
      node.dueMs = nowMs + pauseMs();
      return true;
    },
    leave,
  };
}
