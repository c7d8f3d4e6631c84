/** Puts the parts of relays together: the process that forwards, the keeper of the relays, their REST. */
import { randomUUID } from 'node:crypto';
import { listRooms, parseRooms, recordRoom, type NodeConnection } from '../../freeswitch/esl';
import { uriHost } from '../../address';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { Route } from '../../infra/route';
import { runEvery } from '../../infra/flow/interval';
import { storeClock } from '../../infra/store-clock';
import type { EventLog } from '../events/events';
import type { NodeConnections } from '../nodes/connections/node-connections';
import type { NodeRow } from '../nodes/nodes.store';
import type { RoomHooks } from '../rooms/sessions/listeners';
import type { FlowLimits } from './state-machine';
import type { AddressRules } from './targets/address-rules';
import { createRelayReconciler } from './reconciler';
import { requireListening } from './listening';
import { INTAKE_APP } from './process/messages';
import { createRelayProcess, type RelayProcess } from './process/relay-process';
import type { RelayActions } from './relays';
import { relayRoutes } from './relays.routes';
import { countSentRelays } from './relays.store';
import type { SendingDeps } from './relay-session';
import { type Domain } from '../domain';

export interface RelaysDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  quotas: RelayActions['quotas'];
  links: Pick<NodeConnections, 'api' | 'isUp'>;
  hooks: Pick<RoomHooks, 'onSessionLive' | 'onSessionEnded'>;
  findDomain: RelayActions['findDomain'];
  secretKey: Buffer;
  commandTimeoutMs: number;
  /** The address under which nodes reach this replica. */
  relayHost: string;
  /** 0: any free port. */
  relayPort: number;
  /** Where it listens for their streams; at `relayHost` where it is left out. */
  listenHost?: string;
  /** False: it only answers; another replica sends what is asked for. */
  keeps?: boolean;
  allowPrivate: boolean;
  allowedHosts: readonly string[];
  ports: AddressRules['ports'];
  /** Names and addresses of the pool and of Switchyard as they are now: no relay goes there. */
  findOwnHosts: () => Promise<readonly string[]>;
  /** For tests: how long a step may take, when a stream counts as stalled, and a process that is somebody else's. */
  stepTimeoutMs?: number;
  limits?: FlowLimits;
  relayProcess?: RelayProcess;
}

export interface Relays extends Domain {
  routes: Route[];
  sweep(): Promise<void>;
  stop(): Promise<void>;
}

const STEP_TIMEOUT_MS = 5000;
const SWEEP_MS = 1000;

/** Keeps relays until it is stopped. @throws where the port is taken, or the address is not this machine's */
export async function createRelays(deps: RelaysDeps): Promise<Relays> {
  const { db, log, logger, links, secretKey } = deps;
  const listen = { host: deps.listenHost ?? deps.relayHost, port: deps.relayPort };
  if (deps.keeps !== false) await requireListening(listen);
  const process = deps.relayProcess ?? createRelayProcess({ logger, listen: deps.keeps === false ? null : listen });
  const { allowPrivate, allowedHosts, ports } = deps;
  const sending: SendingDeps = {
    forwarder: process,
    readRules: async () => ({ allowPrivate, allowedHosts, ports, ownHosts: await deps.findOwnHosts() }),
    intakeHost: uriHost(deps.relayHost),
    api: (nodeId, command) => links.api(nodeId, command),
    stepTimeoutMs: deps.stepTimeoutMs ?? STEP_TIMEOUT_MS,
    limits: deps.limits,
  };
  const keeper = createRelayReconciler({ db, log, logger, links, secretKey, replicaId: randomUUID(), sending });
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
      logger,
      secretKey,
      links,
      sending,
      checks: new Map(),
      keeper: { wake },
      findDomain: deps.findDomain,
    }),
    handlers: {
      /** A node's report of a stream's end; the replica that sends the relay sees the end by itself. */
      async onEvent(_node, event) {
        if (event.type === 'room' && event.action === 'stop-recording' && isRelayPath(addressOf(event.path ?? '')))
          keeper.wake();
      },
      onSnapshot: (node, connection) => endOrphans(deps, node, connection),
    },
    sweep: () => keeper.sweep(),
    async stop() {
      for (const forget of forgets) forget();
      await schedule?.stop();
      await keeper.stop();
      if (!deps.relayProcess) await process.stop();
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
    if ((await countSentRelays(deps.db, room.name, storeClock.now())) > 0) continue;
    for (const path of streams) {
      deps.logger.warn({ node: node.name, sessionId: room.name }, 'ends a stream that no relay sends');
      await connection.api(recordRoom(room.name, 'stop', path), { timeoutMs: deps.commandTimeoutMs });
    }
  }
}
