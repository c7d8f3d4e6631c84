/** Puts room control together: its routes, what it takes in from nodes, and what it does by itself until it is stopped. */
import { setVolume } from '../../../freeswitch/esl';
import type { Db } from '../../../infra/stores/db';
import { createId } from '../../../infra/ids';
import type { Logger } from '../../../infra/logger';
import type { Redis } from '../../../infra/stores/redis';
import type { Caller, Route } from '../../../infra/route';
import { runEvery } from '../../../infra/flow/interval';
import type { EventLog } from '../../events/events';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import type { NodeRow } from '../../nodes/nodes.store';
import type { StreamPlaces } from '../../quotas/streams';
import type { RoomHooks } from '../sessions/listeners';
import { createLiveBoard } from '../live/live-state';
import { createLiveEvents, type RoomFact } from './observed-events';
import { liveRoutes } from '../live/live.routes';
import { participantRoutes } from '../participants/participants.routes';
import { createQualitySampler } from '../live/quality';
import { createReconciler } from './reconciler';
import { listLivingSessions } from '../sessions/sessions.store';
import type { ControlDeps } from './participants';
import { controlRoutes } from './control.routes';
import { listPeopleOfSessions } from './control.store';
import { createWaitingSounds } from './waiting-sounds';
import type { SeenParticipant } from './desired-state';
import { type Domain } from '../../domain';

export interface RoomControlOptions extends Pick<ControlDeps, 'markLeft' | 'requireLayout' | 'createCall'> {
  db: Db;
  log: EventLog;
  logger: Logger;
  links: Pick<NodeConnections, 'api' | 'isUp'>;
  hooks: RoomHooks;
  /** Of who is in which room. */
  handleMemberFacts: (facts: readonly RoomFact[]) => Promise<void>;
  redis: Redis;
  /** A connection in subscriber mode; it may be shared. */
  subscriber: Redis;
  prefix: string;
  authenticate: (bearer: string) => Promise<Caller | undefined>;
  onKeyRevoked: (listener: (apiKeyId: string) => void) => () => void;
  streams: Pick<StreamPlaces, 'take'>;
  sweepEveryMs?: number;
  sampleEveryMs?: number;
}

export interface RoomControl extends Domain {
  routes: Route[];
  /** All that rooms tell, in the order in which it came: first who is in, then what those who are in are seen to do. */
  handleRoomEvents(facts: readonly RoomFact[]): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const SWEEP_EVERY_MS = 2000;
const SAMPLE_EVERY_MS = 5000;

export function createRoomControl(deps: RoomControlOptions): RoomControl {
  const { db, hooks, links, logger } = deps;
  const live = createLiveBoard(deps);
  const reconciler = createReconciler({ ...deps, live });
  const events = createLiveEvents({ db, logger, live, nudge: (sessionId) => reconciler.nudge(sessionId) });
  const sampler = createQualitySampler({ db, links, live, logger });
  const sounds = createWaitingSounds(deps.redis, deps.prefix, () => createId());
  const roomControl = { ...deps, live, reconciler, sounds };

  const unhook = [
    hooks.onSessionLive((session) => {
      live.announce(session);
      reconciler.nudge(session.id);
    }),
    hooks.onParticipantIn((session) => {
      live.announce(session);
      reconciler.nudge(session.id);
    }),
    hooks.onParticipantLeft((session) => live.announce(session)),
    hooks.onSessionEnded((session) => {
      events.forget(session.id);
      live.forget(session);
    }),
  ];

  async function sampleAll(): Promise<void> {
    const living = await listLivingSessions(db);
    const nodeIds = new Set(living.flatMap((s) => (s.state === 'live' && s.node_id ? [s.node_id] : [])));
    for (const nodeId of nodeIds) {
      if (!links.isUp(nodeId) || !(await reconciler.acquireLease(nodeId))) continue;
      await sampler.sample(nodeId).catch((error: unknown) => {
        logger.debug({ err: error, nodeId }, 'the network of those on a node could not be looked at now');
      });
    }
  }

  /** No list tells whether an image is muted: a volume that is said again makes the node tell all of a member. */
  async function askOfImages(nodeId: string, sessionIds: readonly string[]): Promise<void> {
    for (const p of await listPeopleOfSessions(db, sessionIds)) {
      const seen = p.observed as SeenParticipant;
      if (seen.hasVideo !== true || p.member_id === null) continue;
      await links.api(nodeId, setVolume(p.session_id, p.member_id, 'in', seen.volumeIn ?? 0));
    }
  }

  /** After a reconnect of the node: events were missed. */
  async function lookAgain(node: NodeRow): Promise<void> {
    const sessions = await listLivingSessions(db, node.id);
    for (const session of sessions) events.forget(session.id);
    await reconciler.sweepNode(node.id);
    await askOfImages(
      node.id,
      sessions.map((s) => s.id),
    );
  }

  const timers = [
    runEvery('rooms sweep', deps.sweepEveryMs ?? SWEEP_EVERY_MS, logger, () => reconciler.sweep()),
    runEvery('network quality', deps.sampleEveryMs ?? SAMPLE_EVERY_MS, logger, sampleAll),
  ];

  return {
    routes: [...participantRoutes(roomControl), ...controlRoutes(roomControl), ...liveRoutes(roomControl)],
    async handleRoomEvents(facts) {
      await deps.handleMemberFacts(facts);
      await events.take(facts);
    },
    handlers: { onSnapshot: lookAgain },
    start: () => live.start(),
    async stop() {
      for (const stop of unhook) stop();
      await Promise.all(timers.map((timer) => timer.stop()));
      await reconciler.stop();
      live.stop();
    },
  };
}
