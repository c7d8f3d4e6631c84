/** What one look at a node's channels has at hand, and how it ends a channel it has found. */
import { hangupLegs, type ChannelRow, type NodeConnection } from '../../../freeswitch/esl';
import type { NodeRow } from '../../nodes/nodes.store';
import type { ChannelMemories, ChannelMemory } from '../adoption/channel-memory';
import type { CallEndDeps } from '../events/move-calls';
import type { LeftRecords } from '../records/left-records';

export interface ReconcileDeps extends CallEndDeps {
  commandTimeoutMs: number;
  /** What proves whose call a channel is that no row tells of; nothing does where it is left out. */
  secretKey?: Buffer;
  /** What looks at the node before have seen. */
  memories: ChannelMemories;
  /** Takes in the call records that a node could deliver to nobody. */
  leftRecords?: LeftRecords;
}

/** What a look at a node has found, for all its channels. */
export interface NodeLook {
  node: NodeRow;
  connection: NodeConnection;
  channels: ReadonlyMap<string, ChannelRow>;
  /** Who hears whom; asked once, and only where it matters. */
  bridges: () => Promise<ReadonlyMap<string, string>>;
  memory: ChannelMemory;
  now: Date;
}

/** By the look's own connection: after a reconnect it is the first that has one. */
export async function hangupFound(deps: ReconcileDeps, look: NodeLook, legId: string): Promise<void> {
  const { node, connection } = look;
  const links = {
    api: (_nodeId: string, command: Parameters<NodeConnection['api']>[0]) =>
      connection.api(command, { timeoutMs: deps.commandTimeoutMs }),
  };
  await hangupLegs({ links }, [{ nodeId: node.id, legId }], 'NORMAL_CLEARING');
}
