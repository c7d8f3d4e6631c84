/** The role `api`: REST, the numbered log for its readers, and the doors through which nodes ask. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRememberedPhones } from '../domains/calls/dialing/remembered-phones';
import { readMediaTimeouts } from '../domains/calls/dialplan/media-timeouts';
import { watchAskedUsers } from '../domains/nodes/trust/asked-users';
import { createRoomConfiguration } from '../domains/rooms/sessions/conference-profile';
import { createApp } from '../http/app';
import { createPhoneDoor } from '../domains/nodes/drain/door';
import { createDrainEndpoint } from '../http/nodes/drain.endpoint';
import { createDoorkeeper, REQUEST_LIMITS } from '../http/request/authentication';
import { createCredentialGuard } from '../http/nodes/credential-guard';
import { createIdempotencyStore } from '../http/request/idempotency.store';
import { createEnrolEndpoint } from '../http/nodes/enrol.endpoint';
import { createFreeswitchEndpoints } from '../http/nodes/freeswitch.endpoints';
import { createImageEndpoint } from '../http/nodes/image.endpoint';
import { createRecordingEndpoint } from '../http/nodes/recording.endpoint';
import { createNodesApp, type Readiness } from '../http/operations';
import { createHttpServer } from '../http/server';
import { attachEventSockets } from '../http/upgrade';
import { createTokenBinder } from '../infra/secrets/bound-tokens';
import { createSharedMarks } from '../infra/stores/marks';
import { runEvery } from '../infra/flow/interval';
import { readVersion } from '../infra/project-root';
import { storeClock } from '../infra/store-clock';
import type { Container } from './container';
import { listen } from './listen';
import type { Stops } from './stores';

const HOUR_MS = 3_600_000;

/** Where this role answers; `nodesUrl` is the same where nodes ask at the API's port. */
export interface ApiRole {
  url: string;
  nodesUrl: string;
}

/** Listens. @param onNodeSeen is told when a node has just entered @returns where; @throws where a port is taken */
export async function startApiRole(
  container: Container,
  ready: Readiness,
  stops: Stops,
  onNodeSeen: () => void,
): Promise<ApiRole> {
  const {
    config,
    logger,
    settle,
    admission,
    links,
    rooms,
    images,
    recordings,
    grants,
    bans,
    directory,
    metrics,
    shownLogins,
    buckets,
    events,
  } = container;
  const { db, log, redis } = container.stores;
  const { secretKey } = config;
  const idempotency = createIdempotencyStore({ db, secretKey });
  const hourly = runEvery('old answers', HOUR_MS, logger, async () => void (await idempotency.sweep()));
  stops.push(() => hourly.stop());
  const { authenticate } = grants;
  const { trustedProxies } = config;
  const doorkeeper = createDoorkeeper({
    authenticate,
    buckets,
    limits: REQUEST_LIMITS,
    strangers: bans.strangers,
    marks: createSharedMarks(redis, config.redisPrefix),
    now: storeClock.nowMs,
  });
  const guard = createCredentialGuard({ buckets, trustedProxies, now: storeClock.nowMs });
  const app = createApp({
    routes: container.served.flatMap((domain) => domain.routes ?? []),
    authenticate,
    doorkeeper,
    idempotency,
    ready,
    metrics: metrics.registry,
    logger,
    version: readVersion(),
    publicUrl: config.publicUrl,
    trustedProxies,
  });
  const asked = watchAskedUsers({ db, log, logger, count: metrics.countSuspiciousNode });
  stops.push(() => asked.stop());
  const enrolment = createEnrolEndpoint({ ...admission, guard, onNodeSeen });
  const entrance = createFreeswitchEndpoints({
    ...settle,
    guard,
    ...admission,
    directory,
    secretKey,
    phones: createRememberedPhones(db),
    bindToken: createTokenBinder(redis, config.redisPrefix, storeClock.nowMs),
    rooms: rooms.entering,
    findGrantOfUser: grants.findGrantOfUser,
    mediaNetworks: config.mediaNetworks,
    mediaTimeouts: readMediaTimeouts(config),
    roomConfiguration: createRoomConfiguration(db),
    logins: grants.loginsBeside(directory),
    loginGuard: bans.logins,
    heartbeatSeconds: config.heartbeatSeconds,
    publicUrl: config.publicUrl,
    controlNetworks: config.controlNetworks,
    nodeNetworks: config.nodeNetworks,
    countXmlAnswer: metrics.countXmlAnswer,
    noteLogin: shownLogins.note,
    wasShown: shownLogins.wasShown,
    openDoor: createPhoneDoor({
      db,
      now: storeClock.nowMs,
      sleep,
      send: (nodeId, command) => links.api(nodeId, command),
    }),
    noteUserGiven: (node, username, domain) => asked.note(node, username, domain),
    onNodeSeen,
  });
  const drains = createDrainEndpoint({ db, log, logger, now: storeClock.nowMs });
  const uploads = createRecordingEndpoint({ ...recordings.deps, guard });
  const fetches = createImageEndpoint({ ...images.deps, guard });
  const takeFromNode = (request: IncomingMessage, response: ServerResponse): boolean =>
    entrance(request, response) ||
    enrolment(request, response) ||
    uploads(request, response) ||
    fetches(request, response) ||
    drains(request, response);
  const server = createHttpServer((request, response) => {
    // With a port of their own the doors are nowhere else: here there is no such path.
    if (config.nodesPort !== undefined || !takeFromNode(request, response)) app(request, response);
  });
  const sockets = attachEventSockets(server, { events, doorkeeper, trustedProxies, logger });
  const url = await listen(server, { host: config.httpHost, port: config.httpPort }, stops, () => sockets.close());
  if (config.nodesPort === undefined) return { url, nodesUrl: url };
  const beside = createNodesApp({ ready });
  const doors = createHttpServer((request, response) => {
    if (!takeFromNode(request, response)) beside(request, response);
  });
  return { url, nodesUrl: await listen(doors, { host: config.nodesHost, port: config.nodesPort }, stops) };
}
