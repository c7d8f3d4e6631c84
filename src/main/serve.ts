/** The role `api`: REST, the numbered log for its readers, and the doors through which nodes ask. */
import { ensureBootstrapKey } from '../domains/api-keys/api-keys';
import { apiKeysRoutes } from '../domains/api-keys/api-keys.routes';
import { callRoutes } from '../domains/calls/calls.routes';
import { domainsRoutes } from '../domains/domains/domains.routes';
import { createEventsEntrance } from '../domains/events/events.routes';
import { startEventRetention } from '../domains/events/retention';
import { healthRoutes } from '../domains/nodes/health.routes';
import { nodeRoutes } from '../domains/nodes/nodes.routes';
import { poolRoutes } from '../domains/nodes/pool.routes';
import { watchAskedUsers } from '../domains/nodes/trust/asked-users';
import { listRegistrations } from '../domains/registrations/registrations';
import { createRoomConfiguration } from '../domains/rooms/configuration';
import { layoutsRoutes } from '../domains/rooms/layouts.routes';
import { roomsRoutes } from '../domains/rooms/rooms.routes';
import { usersRoutes } from '../domains/users/users.routes';
import { flushUserCache } from '../freeswitch/esl';
import { createApp } from '../http/app';
import { createIdempotencyStore } from '../http/idempotency.store';
import { createEnrolEntrance } from '../http/enrol.entrance';
import { createNodeEntrance } from '../http/node.entrance';
import { createPictureEntrance } from '../http/picture.entrance';
import { createRecordingEntrance } from '../http/recording.entrance';
import { createHttpServer } from '../http/server';
import { attachEventSockets } from '../http/upgrade';
import { createTokenBinder } from '../infra/bound-tokens';
import { runEvery } from '../infra/schedule';
import type { House } from './house';
import { checkStores, listen } from './listen';
import type { Stops } from './stores';

const HOUR_MS = 3_600_000;
const EVENTS_KEPT_MS = 30 * 24 * HOUR_MS;

/** Listens. @param onNodeSeen is told when a node has just entered @returns the address; @throws where the port is taken */
export async function startServing(house: House, stops: Stops, onNodeSeen: () => void): Promise<string> {
  const {
    config,
    logger,
    settle,
    admission,
    hold,
    links,
    rooms,
    steering,
    pictures,
    recordings,
    relays,
    grants,
    directory,
    claims,
    calls,
    canaries,
    metrics,
    findDomain,
  } = house;
  const { db, hub, log, keyRing, redis } = house.stores;
  const { secretKey } = config;
  if (config.bootstrapApiKey) await ensureBootstrapKey(db, config.bootstrapApiKey);
  const idempotency = createIdempotencyStore({ db, secretKey });
  const hourly = runEvery('old answers', HOUR_MS, logger, async () => void (await idempotency.sweep()));
  stops.push(() => hourly.stop());
  const retention = startEventRetention({ db, logger, keepMs: EVENTS_KEPT_MS, everyMs: HOUR_MS });
  stops.push(() => retention.stop());

  const { authenticate } = grants;
  const provisioning = {
    db,
    events: log,
    onKeysRevoked: keyRing.revoked,
    onUserChanged: ({ domain, username }: { domain: string; username: string }): void => {
      directory.forget(username, domain);
      links.broadcast(flushUserCache(username, domain));
    },
  };
  const events = createEventsEntrance({ db, hub, logger, authenticate, onKeyRevoked: keyRing.onRevoked });
  const app = createApp({
    routes: [
      ...domainsRoutes(provisioning),
      ...usersRoutes({ ...provisioning, listRegistrations: (userIds) => listRegistrations(db, userIds) }),
      ...apiKeysRoutes(provisioning),
      ...nodeRoutes({ ...admission, claims, now: Date.now }),
      ...healthRoutes({ runCanary: canaries.run }),
      ...poolRoutes({ ...settle, ...hold, now: Date.now, policy: config.placementPolicy }),
      ...callRoutes({ ...calls, findDomain }),
      ...roomsRoutes({ db, events: log, logger, secretKey, links, hooks: rooms.hooks, closeSession: rooms.close }),
      ...pictures.routes,
      ...layoutsRoutes({ db, events: log }),
      ...steering.routes,
      ...grants.routes,
      ...recordings.routes,
      ...relays.routes,
      ...events.routes,
    ],
    authenticate,
    idempotency,
    ready: checkStores(house),
    metrics: metrics.registry,
    logger,
    version: '0.2.0',
    publicUrl: config.publicUrl,
    trustedProxies: config.trustedProxies,
  });
  const asked = watchAskedUsers({ db, log, logger, count: metrics.countSuspiciousNode });
  stops.push(() => asked.stop());
  const enrolment = createEnrolEntrance({ ...admission, onNodeSeen });
  const entrance = createNodeEntrance({
    ...settle,
    ...admission,
    directory,
    secretKey,
    bindToken: createTokenBinder(redis, config.redisPrefix, Date.now),
    rooms: rooms.entering,
    findGrantOfUser: grants.findGrantOfUser,
    roomConfiguration: createRoomConfiguration(db),
    logins: grants.loginsBeside(directory),
    heartbeatSeconds: config.heartbeatSeconds,
    publicUrl: config.publicUrl,
    controlNetworks: config.controlNetworks,
    nodeNetworks: config.nodeNetworks,
    countXmlAnswer: metrics.countXmlAnswer,
    noteUserGiven: (node, username, domain) => asked.note(node, username, domain),
    onNodeSeen,
  });
  const uploads = createRecordingEntrance(recordings.deps);
  const fetches = createPictureEntrance(pictures.deps);
  const server = createHttpServer((request, response) => {
    const taken = [entrance, enrolment, uploads, fetches].some((door) => door(request, response));
    if (!taken) app(request, response);
  });
  const sockets = attachEventSockets(server, { events, authenticate, logger });
  return listen(server, config, stops, () => sockets.close());
}
