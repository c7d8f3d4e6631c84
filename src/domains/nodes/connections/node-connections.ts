/** Every replica's own command connection to every node, kept up by itself as nodes come, move and go. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SwitchyardError } from '../../../errors';
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import { withDeadline } from '../../../infra/flow/deadline';
import { storeClock } from '../../../infra/store-clock';
import {
  createNodeLink,
  type ApiCommand,
  type EventClock,
  type NodeConnection,
  type NodeLink,
  type Reply,
} from '../../../freeswitch/esl';
import { openNodePassword } from '../entering/node-password';
import { listNodeRows, type NodeRow } from '../nodes.store';

const REFRESH_MS = 1000;
const REACH_POLL_MS = 20;
/** More than any command to a node may take. */
const END_LIMIT_MS = 10_000;
/** A node that comes back is wanted within a second, by every replica. */
const LONGEST_PAUSE_MS = 1000;
/** One that is not there for a minute is started again some day, and has another password then: it is tried at once. */
const PATIENT_AFTER_FAILURES = 60;
const PATIENT_PAUSE_MS = 10_000;
const PROBE_INTERVAL_MS = 2000;
const PROBE_TIMEOUT_MS = 2000;

/** How a link is made; the event streams and the command links differ only in what they do when they are up. */
export interface LinkSettings {
  db: Db;
  logger: Logger;
  secretKey: Buffer;
  commandTimeoutMs: number;
}

export interface NodeConnections {
  /** @throws node_unreachable where there is no connection now. */
  connection(nodeId: string): NodeConnection;
  /** Waits for a connection that is just being made. @throws node_unreachable where there is none in time. */
  reach(nodeId: string, timeoutMs: number): Promise<NodeConnection>;
  /** Which process of the node the connection leads to; undefined where it is none of ours. */
  coreOf(connection: NodeConnection): string | undefined;
  /** True while the node's connection is up. */
  isUp(nodeId: string): boolean;
  api(nodeId: string, command: ApiCommand): Promise<Reply>;
  /** Sends to every node that can be reached; what a node answers is not waited for by the caller. */
  broadcast(command: ApiCommand): void;
  /** Looks at the nodes' table at once instead of within a second. */
  refresh(): Promise<void>;
  stop(): Promise<void>;
}

export function linkToNode(
  settings: LinkSettings,
  node: NodeRow,
  handlers: {
    onUp: (connection: NodeConnection) => Promise<void>;
    onDown: (reason: { kind: string; message: string }) => void;
    probeIntervalMs?: number;
    clock?: EventClock;
  },
): NodeLink {
  return createNodeLink({
    host: node.host,
    port: node.esl_port,
    password: openNodePassword(settings.secretKey, node),
    logger: settings.logger.child({ node: node.name }),
    probeIntervalMs: PROBE_INTERVAL_MS,
    probeTimeoutMs: PROBE_TIMEOUT_MS,
    random: Math.random,
    longestPauseMs: LONGEST_PAUSE_MS,
    patience: { afterFailures: PATIENT_AFTER_FAILURES, longestPauseMs: PATIENT_PAUSE_MS },
    ...handlers,
  });
}

/** The core UUID: another one after a restart. */
export const readCore = (): ApiCommand => ({ line: 'global_getvar core_uuid' });

/**
 * Opens a node's password when it has changed. One that can't be opened is said once, and that node is let be: it must
 * not take the links to all the others along.
 */
function createPasswordReader({ logger, secretKey }: FollowSettings): (node: NodeRow) => string | undefined {
  const known = new Map<string, { sealed: string; password: string | undefined }>();
  return (node) => {
    const before = known.get(node.id);
    if (before?.sealed === node.esl_password_sealed) return before.password;
    let password: string | undefined;
    try {
      password = openNodePassword(secretKey, node);
    } catch (error) {
      logger.error(
        { err: error, node: node.name },
        'the Event Socket password of a node can not be opened: remove the node, and let it join again',
      );
    }
    known.set(node.id, { sealed: node.esl_password_sealed, password });
    return password;
  };
}

type FollowSettings = Pick<LinkSettings, 'db' | 'logger' | 'secretKey'>;

/** Keeps one thing for each node of the table: made when it appears, made again when it moves, ended when it goes. */
export function followNodes(
  settings: FollowSettings,
  open: (node: NodeRow) => { stop(): Promise<void> },
): { refresh(): Promise<void>; stop(): Promise<void> } {
  const { db, logger } = settings;
  const readPassword = createPasswordReader(settings);
  const held = new Map<string, { key: string; thing: { stop(): Promise<void> } }>();
  let running: Promise<void> | undefined;
  let stopped = false;

  /** One whose end hangs must not keep the others from their new password, nor its node from a new connection. */
  function end(nodeId: string, thing: { stop(): Promise<void> }): Promise<void> {
    return withDeadline(thing.stop(), END_LIMIT_MS, () => {
      logger.error({ nodeId }, 'what was kept for a node does not end: it is left behind, and made again');
    });
  }

  async function compare(): Promise<void> {
    const nodes = (await listNodeRows(db)).filter((node) => node.state !== 'pending');
    if (stopped) return;
    const seen = new Set(nodes.map((n) => n.id));
    for (const [id, { thing }] of held) {
      if (seen.has(id)) continue;
      held.delete(id);
      await end(id, thing);
    }
    for (const node of nodes) {
      const before = held.get(node.id);
      const password = readPassword(node);
      // Not the sealed text: that is another one when the same password was sealed again.
      const key = password === undefined ? undefined : `${node.host}:${node.esl_port}:${password}`;
      if (before !== undefined && before.key === key) continue;
      held.delete(node.id);
      if (before) await end(node.id, before.thing);
      if (key !== undefined) held.set(node.id, { key, thing: open(node) });
    }
  }

  const refresh = (): Promise<void> => {
    running ??= compare()
      .catch((error: unknown) => logger.debug({ err: error }, 'the list of nodes can not be read now'))
      .finally(() => (running = undefined));
    return running;
  };
  const timer = setInterval(() => void refresh(), REFRESH_MS);
  void refresh();
  return {
    refresh,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running;
      await Promise.all([...held.values()].map(({ thing }) => thing.stop()));
      held.clear();
    },
  };
}

export function createNodeConnections(settings: LinkSettings): NodeConnections {
  const links = new Map<string, NodeLink>();
  const cores = new WeakMap<NodeConnection, string>();
  const follower = followNodes(settings, (node) => {
    const link = linkToNode(settings, node, {
      async onUp(connection) {
        await connection.subscribe(['BACKGROUND_JOB'], []);
        const { text } = await connection.api(readCore(), { timeoutMs: settings.commandTimeoutMs });
        cores.set(connection, text.trim());
      },
      onDown: () => undefined,
    });
    links.set(node.id, link);
    return {
      async stop() {
        if (links.get(node.id) === link) links.delete(node.id);
        await link.stop();
      },
    };
  });
  const connection = (nodeId: string): NodeConnection => {
    const open = links.get(nodeId)?.connection();
    if (!open) throw new SwitchyardError('node_unreachable', "Switchyard isn't connected to the node at the moment.");
    return open;
  };
  return {
    connection,
    async reach(nodeId, timeoutMs) {
      const until = storeClock.nowMs() + timeoutMs;
      while (!links.get(nodeId)?.connection() && storeClock.nowMs() < until) await sleep(REACH_POLL_MS);
      return connection(nodeId);
    },
    coreOf: (open) => cores.get(open),
    isUp: (nodeId) => links.get(nodeId)?.connection() !== undefined,
    api: async (nodeId, command) => connection(nodeId).api(command, { timeoutMs: settings.commandTimeoutMs }),
    broadcast(command) {
      for (const link of links.values()) {
        link
          .connection()
          ?.api(command, { timeoutMs: settings.commandTimeoutMs })
          .catch((error: unknown) => settings.logger.warn({ err: error }, 'a broadcast did not reach a node'));
      }
    },
    refresh: follower.refresh,
    stop: follower.stop,
  };
}
