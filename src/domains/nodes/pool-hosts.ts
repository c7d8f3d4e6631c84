/** Tells the nodes when the pool's hosts have changed: each lets in calls only from those it has read of. */
import { reloadAcl, type NodeConnection } from '../../freeswitch/esl';
import type { Db } from '../../infra/db';
import type { Logger } from '../../infra/logger';
import { runEvery } from '../../infra/schedule';
import { listHosts } from './nodes.store';
import type { HeldStream } from './stream';

const LOOK_MS = 1000;
/** To each node that is told, a list as long as the pool is made and sent: not to all at once. */
const TOLD_AT_ONCE = 25;

export interface PoolHosts {
  /** @returns what ends it */
  enter(nodeName: string, stream: HeldStream): () => void;
  stop(): Promise<void>;
}

interface Told {
  node: string;
  connection?: NodeConnection;
  hosts?: string;
}

/**
 * FreeSWITCH reads acl.conf when it starts and when it is told to (`reloadacl`): a node that joined later would be
 * refused by all that were there before it. Each node is told with each new connection, and with each change.
 */
export function watchPoolHosts(o: { db: Db; logger: Logger; commandTimeoutMs: number }): PoolHosts {
  const held = new Map<HeldStream, Told>();
  const look = runEvery('the hosts of the pool', LOOK_MS, o.logger, async () => {
    if (held.size === 0) return;
    const hosts = (await listHosts(o.db)).join(' ');
    let left = TOLD_AT_ONCE;
    for (const [stream, told] of held) {
      const connection = stream.connection();
      if (!connection || (told.connection === connection && told.hosts === hosts)) continue;
      if (left-- === 0) return;
      Object.assign(told, { connection, hosts });
      connection.api(reloadAcl(), { timeoutMs: o.commandTimeoutMs }).catch((error: unknown) => {
        told.hosts = undefined;
        o.logger.debug({ err: error, node: told.node }, 'a node is told of the hosts of the pool later');
      });
    }
  });
  return {
    enter(node, stream) {
      held.set(stream, { node });
      return () => held.delete(stream);
    },
    stop: () => look.stop(),
  };
}
