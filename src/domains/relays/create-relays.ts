/** Puts the parts of relays together: the door for the nodes' streams, the keeper of the relays, their REST. */
import { randomUUID } from 'node:crypto';
import { listRooms, parseRooms, recordRoom, type NodeConnection, type NodeEvent } from '../../freeswitch/esl';
import type { Db } from '../../infra/db';
import type { Logger } from '../../infra/logger';
import type { Route } from '../../infra/route';
import { runEvery } from '../../infra/schedule';
import type { EventLog } from '../events/events';
import type { NodeLinks } from '../nodes/links';
import type { NodeRow } from '../nodes/nodes.store';
import type { RoomHooks } from '../rooms/hooks';
import type { FlowLimits } from './decide';
import { createKeeper } from './keeper';
import type { RelayActions } from './relays';
import { relayRoutes } from './relays.routes';
import { countSentRelays } from './relays.store';
import { INTAKE_APP, openIntake } from './rtmp/intake';
import type { SendingDeps } from './sending';
import { resolveHost, type Resolve } from './target';

export interface RelaysDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  quotas: RelayActions['quotas'];
  links: Pick<NodeLinks, 'api' | 'isUp'>;
  hooks: Pick<RoomHooks, 'onSessionLive' | 'onSessionEnded'>;
  findDomain: RelayActions['findDomain'];
  secretKey: Buffer;
  commandTimeoutMs: number;
  /** The address under which nodes reach this replica, and where it listens for their streams. */
  relayHost: string;
  /** 0: any free port. */
  relayPort: number;
  /** False: it only answers; another replica sends what is asked for. */
  keeps?: boolean;
  allowPrivate: boolean;
  allowedHosts: readonly string[];
  /** For tests: how names are resolved, how long a step may take, when a stream counts as stalled. */
  resolve?: Resolve;
  stepTimeoutMs?: number;
  limits?: FlowLimits;
}

export interface Relays {
  routes: Route[];
  /** A node's report of a stream's end; the replica that sends the relay sees the end by itself. */
  takeRelayEvent(node: NodeRow, event: NodeEvent): Promise<void>;
  /** After a reconnect: streams of ours that nobody sends any more are ended at the node. */
  compareRelays(node: NodeRow, connection: NodeConnection): Promise<void>;
  sweep(): Promise<void>;
  stop(): Promise<void>;
}

const STEP_TIMEOUT_MS = 5000;
const SWEEP_MS = 1000;

/** Listens for the nodes' streams and keeps relays until it is stopped. @throws where the port is taken */
export async function createRelays(deps: RelaysDeps): Promise<Relays> {
  const { db, log, logger, links, secretKey } = deps;
  const isLoopback = /^(127\.|::1$|localhost$)/.test(deps.relayHost);
  const intake = await openIntake(isLoopback ? deps.relayHost : '::', deps.relayPort);
  const sending: SendingDeps = {
    intake,
    intakeHost: deps.relayHost.includes(':') ? `[${deps.relayHost}]` : deps.relayHost,
    api: (nodeId, command) => links.api(nodeId, command),
    rules: { allowPrivate: deps.allowPrivate, allowedHosts: deps.allowedHosts },
    resolve: deps.resolve ?? resolveHost,
    stepTimeoutMs: deps.stepTimeoutMs ?? STEP_TIMEOUT_MS,
    now: Date.now,
    limits: deps.limits,
  };
  const keeper = createKeeper({ db, log, logger, links, secretKey, replicaId: randomUUID(), sending });
  const wake = (): void => {
    if (deps.keeps ?? true) keeper.wake();
  };
  const forgets = [deps.hooks.onSessionLive(wake), deps.hooks.onSessionEnded(wake)];
  const schedule = deps.keeps === false ? undefined : runEvery('relays', SWEEP_MS, logger, () => keeper.sweep());
  return {
    routes: relayRoutes({
      db,
      log,
      quotas: deps.quotas,
      secretKey,
      sending,
      keeper: { wake },
      findDomain: deps.findDomain,
    }),
    async takeRelayEvent(_node, event) {
      if (event.type === 'room' && event.action === 'stop-recording' && isRelayPath(addressOf(event.path ?? '')))
        keeper.wake();
    },
    compareRelays: (node, connection) => endOrphans(deps, node, connection),
    sweep: () => keeper.sweep(),
    async stop() {
      for (const forget of forgets) forget();
      await schedule?.stop();
      await keeper.stop();
      await intake.stop();
    },
  };
}

/** FreeSWITCH puts its own parameters before ours. */
const addressOf = (path: string): string => path.replace(/^(\{[^}]*\})+/, '');
const isRelayPath = (path: string): boolean => new RegExp(`^rtmp://[^/]+/${INTAKE_APP}/[A-Za-z0-9_-]+$`).test(path);

/** A room that sends streams while no relay of it is being sent: the replica that asked for them is gone. */
async function endOrphans(deps: RelaysDeps, node: NodeRow, connection: NodeConnection): Promise<void> {
  const reply = await connection.api(listRooms(), { timeoutMs: deps.commandTimeoutMs });
  for (const room of parseRooms(reply.text)) {
    const streams = room.recordings.map(({ path }) => addressOf(path)).filter(isRelayPath);
    if (streams.length === 0) continue;
    // One of several may be nobody's: then the intake has refused it, for nobody expects its name.
    if ((await countSentRelays(deps.db, room.name, new Date())) > 0) continue;
    for (const path of streams) {
      deps.logger.warn({ node: node.name, sessionId: room.name }, 'ends a stream that no relay sends');
      await connection.api(recordRoom(room.name, 'stop', path), { timeoutMs: deps.commandTimeoutMs });
    }
  }
}
