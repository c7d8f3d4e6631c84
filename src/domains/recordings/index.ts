/** Puts the room of recordings together: what main wires is one value with routes, handlers, sweeps and an end. */
import { join } from 'node:path';
import { runEvery } from '../../infra/flow/interval';
import type { NodeConnection } from '../../freeswitch/esl';
import type { NodeRow } from '../nodes/nodes.store';
import type { Route } from '../../infra/route';
import type { RoomHooks } from '../rooms/sessions/listeners';
import { stepDueRecordings } from './control/reconcile';
import type { RecordingDeps } from './control/transition';
import { createCollector } from './upload/pull-from-node';
import { reconcileRecordings } from './control/reconcile-node';
import { markDeadParts, onSessionEnded, onSessionLive, handleRecordingEvent } from './control/node-events';
import { stopOverQuota } from './control/over-quota';
import { recordingRoutes, type RecordingRouteDeps } from './recordings.routes';
import { expireRecordings } from './retention';
import type { RecordingStorage } from './storage/storage';
import { createLocalStorage } from './storage/local';
import { createS3Storage, type S3Settings } from './storage/s3';
import { watchGrowth } from './control/growth-monitor';
import { type Domain, type NodeHandlers } from '../domain';

export interface RecordingSettings {
  /** Kept here, or on the way to S3. */
  dir: string;
  s3: Omit<S3Settings, 'arrivals'> | undefined;
}

/** @throws where the folder can't be made */
export const openStorage = (o: RecordingSettings): RecordingStorage =>
  o.s3 ? createS3Storage({ ...o.s3, arrivals: join(o.dir, 'arriving') }) : createLocalStorage(o.dir);

export interface Recordings extends Domain {
  routes: Route[];
  handlers: Required<Pick<NodeHandlers, 'onEvent'>> & {
    onSnapshot(node: NodeRow, connection: Pick<NodeConnection, 'api'>): Promise<void>;
  };
  stop(): Promise<void>;
  /** For createRecordingEndpoint(). */
  deps: RecordingDeps;
}

const STEP_EVERY_MS = 500;
const WATCH_EVERY_MS = 1000;
const QUOTA_EVERY_MS = 5000;
const EXPIRE_EVERY_MS = 60_000;

/** Runs on every replica; the database says who does what. */
export function createRecordings(deps: RecordingRouteDeps, hooks: RoomHooks): Recordings {
  const collector = createCollector(deps);
  const forget = [
    hooks.onSessionLive((session) => onSessionLive(deps, session)),
    hooks.onSessionEnded((session) => onSessionEnded(deps, session)),
  ];
  const schedules = [
    runEvery('recordings', STEP_EVERY_MS, deps.logger, async () => {
      await stepDueRecordings(deps);
      await collector.run();
    }),
    runEvery('growth of recordings', WATCH_EVERY_MS, deps.logger, async () => {
      await watchGrowth(deps);
      await markDeadParts(deps);
    }),
    runEvery('recordings over their quota', QUOTA_EVERY_MS, deps.logger, () => stopOverQuota(deps)),
    runEvery('recordings past their time', EXPIRE_EVERY_MS, deps.logger, () => expireRecordings(deps)),
  ];
  return {
    routes: recordingRoutes(deps),
    deps,
    handlers: {
      onEvent: (node, event) => handleRecordingEvent(deps, node, event),
      onSnapshot: (node, connection) => reconcileRecordings(deps, node, connection),
    },
    async stop() {
      for (const off of forget) off();
      await Promise.all([...schedules.map((schedule) => schedule.stop()), collector.stop()]);
    },
  };
}
