/** Keeps each node's network lists as they should be, and has them loaded again only where they are not, and can be. */
import { checkAcl, locateConfiguration, reloadAcl, type NodeConnection } from '../../../freeswitch/esl';
import { MARKED_ADDRESS, markLists } from '../../../freeswitch/xml';
import type { Db } from '../../../infra/stores/db';
import { createId } from '../../../infra/ids';
import type { Logger } from '../../../infra/logger';
import { runEvery } from '../../../infra/flow/interval';
import { listHosts } from '../nodes.store';
import type { EventIntake } from './event-intake';
import { backoffMs } from '../../../infra/flow/backoff';

const LOOK_MS = 1000;
/** To each node that loads them, a list as long as the pool is made and sent: not to all at once. */
const LOADED_AT_ONCE = 25;
/** A node asks twice, and waits 5 s each time (freeswitch/autoload_configs/xml_curl.conf.xml). */
const LOAD_TIMEOUT_MS = 15_000;
/** Somebody may have loaded them by hand, while nobody answered. */
const CHECK_AGAIN_MS = 60_000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

export interface NetworkLists {
  /** @returns what ends it */
  enter(nodeName: string, stream: EventIntake): () => void;
  stop(): Promise<void>;
}

/** What is known of one node's lists. */
export interface KnownLists {
  /** By which connection, and with which mark it was looked at last. */
  connection?: NodeConnection;
  mark?: string;
  failures: number;
  /** When it is looked at again though nothing has changed. */
  dueAtMs: number;
}

/** Whether a node's lists are to be looked at now: a new connection, another list, or their time has come. */
export function isDue(known: KnownLists, connection: NodeConnection, mark: string, nowMs: number): boolean {
  return known.connection !== connection || known.mark !== mark || nowMs >= known.dueAtMs;
}

/** When it is looked at again after so many failures in a row; 0: it is well. */
export const pauseAfter = (failures: number): number =>
  failures === 0 ? CHECK_AGAIN_MS : backoffMs(failures, { firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS });

type Outcome = 'well' | 'loaded' | 'not answered' | 'not taken';

/**
 * FreeSWITCH reads acl.conf when it starts and when it is told to (`reloadacl`): a node that joined later would be
 * refused by all that were there before it. It throws its lists away before it asks for new ones, and holds the lock of
 * all lists while it asks: so it is told only where its lists are others, and after the answer came through it once. What
 * the Event Socket lets in does not hang on it (eventSocketConf).
 */
export function watchNetworkLists(o: {
  db: Db;
  logger: Logger;
  commandTimeoutMs: number;
  controlNetworks: readonly string[];
  nodeNetworks: readonly string[];
  now: () => number;
}): NetworkLists {
  const held = new Map<EventIntake, { node: string; known: KnownLists; loading?: Promise<void> }>();

  async function bring(connection: NodeConnection, mark: string): Promise<Outcome> {
    const has = async (): Promise<boolean> => {
      const { text } = await connection.api(checkAcl(MARKED_ADDRESS, mark), { timeoutMs: o.commandTimeoutMs });
      return text.trim() === 'true';
    };
    const load = { timeoutMs: LOAD_TIMEOUT_MS, acceptTimeoutMs: o.commandTimeoutMs };
    if (await has()) return 'well';
    const answer = await connection.bgapi(locateConfiguration('acl.conf'), { jobId: createId(), ...load });
    if (!answer.text.includes(`"${mark}"`)) return 'not answered';
    await connection.bgapi(reloadAcl(), { jobId: createId(), ...load });
    return (await has()) ? 'loaded' : 'not taken';
  }

  async function check(node: string, known: KnownLists, connection: NodeConnection, mark: string): Promise<void> {
    const outcome = await bring(connection, mark).catch((error: unknown) => {
      o.logger.debug({ err: error, node }, 'the network lists of a node are looked at later');
      return undefined;
    });
    const isWell = outcome === 'well' || outcome === 'loaded';
    if (isWell && known.failures > 1) o.logger.info({ node }, 'a node has its network lists again');
    known.failures = isWell ? 0 : known.failures + 1;
    known.dueAtMs = o.now() + pauseAfter(known.failures);
    // Once may be a replica that just ends; said once, and again when it is over.
    if (!isWell && outcome !== undefined && known.failures === 2)
      o.logger.warn(
        { node, why: outcome },
        'a node does not get its network lists: nodes that came later can not call it; are CONTROL_NETWORKS and NODE_NETWORKS the same at all replicas?',
      );
  }

  const schedule = runEvery('the network lists of nodes', LOOK_MS, o.logger, async () => {
    if (held.size === 0) return;
    const poolHosts = [...(await listHosts(o.db)), ...o.nodeNetworks];
    const mark = markLists({ poolHosts, controlNetworks: o.controlNetworks });
    let left = LOADED_AT_ONCE - [...held.values()].filter((one) => one.loading !== undefined).length;
    for (const [stream, one] of held) {
      const connection = stream.connection();
      if (left <= 0) return;
      if (!connection || one.loading || !isDue(one.known, connection, mark, o.now())) continue;
      left -= 1;
      if (one.known.mark !== mark || one.known.connection !== connection) one.known.failures = 0;
      Object.assign(one.known, { connection, mark });
      one.loading = check(one.node, one.known, connection, mark).finally(() => (one.loading = undefined));
    }
  });
  return {
    enter(node, stream) {
      held.set(stream, { node, known: { failures: 0, dueAtMs: 0 } });
      return () => held.delete(stream);
    },
    async stop() {
      await schedule.stop();
      // Each ends by itself: its connections are closed, or its deadlines come.
      held.clear();
    },
  };
}
