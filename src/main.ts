/** Starts everything in order and stops it in reverse; the only place that wires the house together. */
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { readConfig, type Config } from './config';
import { ensureBootstrapKey } from './domains/api-keys/api-keys';
import { apiKeysRoutes } from './domains/api-keys/api-keys.routes';
import { createKeyRing } from './domains/api-keys/key-ring';
import { runDialJob, type DialDeps } from './domains/calls/dial.job';
import { createCall } from './domains/calls/calls';
import { callRoutes } from './domains/calls/calls.routes';
import { findCall } from './domains/calls/calls.store';
import type { DialplanDeps } from './domains/calls/dialplan';
import { answerCall, takeChannelEvent } from './domains/calls/progress';
import { compareChannels, settleCallsOfNode, sweepCalls, SWEEP_INTERVAL_MS } from './domains/calls/reconcile';
import { requireDomain } from './domains/domains/domains';
import { domainsRoutes } from './domains/domains/domains.routes';
import { createEventsEntrance } from './domains/events/events.routes';
import { createEventLog } from './domains/events/events';
import { startEventRetention } from './domains/events/retention';
import { createEventHub } from './domains/events/hub';
import { createCalibrator } from './domains/nodes/calibrator';
import { createGrantDirectory, createLogins } from './domains/grants/grant-directory';
import { createClaims } from './domains/nodes/claims';
import { reportLimitMs } from './domains/nodes/limits';
import { createNodeLinks } from './domains/nodes/links';
import { nodeRoutes } from './domains/nodes/nodes.routes';
import { createPoolPicture } from './domains/nodes/pool';
import { poolRoutes } from './domains/nodes/pool.routes';
import { createNodeStreams, type StreamHandlers } from './domains/nodes/stream';
import {
  compareRegistrations,
  dropRegistrations,
  expireRegistrations,
  listRegistrations,
  takeRegistered,
  takeUnregistered,
} from './domains/registrations/registrations';
import { createRoomConfiguration } from './domains/rooms/configuration';
import { layoutsRoutes } from './domains/rooms/layouts.routes';
import { roomsRoutes } from './domains/rooms/rooms.routes';
import { createRunningRooms } from './domains/rooms/running';
import { createDirectory } from './domains/users/directory';
import { usersRoutes } from './domains/users/users.routes';
import { flushUserCache } from './freeswitch/esl';
import { createApp } from './http/app';
import { createIdempotencyStore } from './http/idempotency.store';
import { createNodeEntrance } from './http/node.entrance';
import { createHttpServer } from './http/server';
import { attachEventSockets } from './http/upgrade';
import { createDb, createLookupPool } from './infra/db';
import { createLogger, type Logger } from './infra/logger';
import { migrateDb } from './infra/migrate';
import { createQueue, createWorker } from './infra/queues';
import { createBlockingRedis, createRedis } from './infra/redis';
import { runEvery } from './infra/schedule';

export interface RunningSwitchyard {
  url: string;
  stop(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const EVENTS_KEPT_MS = 30 * 24 * HOUR_MS;

/** @throws where Postgres can't be migrated or the port is taken; what was started before is stopped again. */
export async function startSwitchyard(config: Config, logger: Logger): Promise<RunningSwitchyard> {
  const stops: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of stops.splice(0).reverse()) {
      await Promise.resolve()
        .then(step)
        .catch((error: unknown) => logger.warn({ err: error }, 'a part did not stop cleanly'));
    }
  };
  try {
    return { url: await startParts(config, logger, stops), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startParts(config: Config, logger: Logger, stops: (() => Promise<void> | void)[]): Promise<string> {
  const db = createDb(config.databaseUrl, config.databasePoolSize);
  stops.push(() => db.destroy());
  await migrateDb(db);
  const lookups = createLookupPool(config.databaseUrl, Math.max(2, Math.floor(config.databasePoolSize / 2)));
  stops.push(() => lookups.end());
  const redis = createRedis(config.redisUrl, logger);
  const subscriber = createBlockingRedis(config.redisUrl, logger);
  stops.push(() => redis.disconnect());
  stops.push(() => subscriber.disconnect());
  await redis.connect().catch(() => logger.warn('redis is away: placements wait for it'));

  const prefix = config.redisPrefix;
  const hub = createEventHub({ db, redis, subscriber, prefix, logger });
  void hub.start(); // waits for Redis, which may be away: readers poll until then
  stops.push(() => hub.stop());
  const log = createEventLog(db, hub, logger);
  const claims = createClaims(redis, prefix);
  const directory = createDirectory(lookups, Date.now);
  const grantDirectory = createGrantDirectory(lookups, Date.now);
  const { secretKey } = config;
  const linkSettings = { db, logger, secretKey, commandTimeoutMs: config.nodeCommandTimeoutMs };
  const links = createNodeLinks(linkSettings);
  stops.push(() => links.stop());

  const settle = { db, log, logger, claims, links };
  const commandTimeoutMs = config.nodeCommandTimeoutMs;
  const reconcile = { ...settle, commandTimeoutMs };
  const hold = {
    db,
    claims,
    pool: createPoolPicture({ db, claims, now: Date.now, minIdleCpuPercent: config.nodeMinIdleCpuPercent }),
    reportLimitMs: reportLimitMs(config.heartbeatSeconds),
    policy: config.placementPolicy,
    minIdleCpuPercent: config.nodeMinIdleCpuPercent,
    random: Math.random,
  };
  const stopping = new AbortController();
  stops.push(() => stopping.abort());
  const rooms = createRunningRooms({
    ...hold,
    ...settle,
    secretKey,
    commandTimeoutMs,
    signal: stopping.signal,
    onEntered: answerCall,
    async redial({ call_id: callId }) {
      const call = callId ? await findCall(db, callId) : undefined;
      if (call?.origin !== 'api') return; // whoever dialled in dials again
      const { domain_id: domainId, domain_name: domain, from_address: from, to_address: to } = call;
      await createCall(callDeps, { domainId, domain, from, to, callerName: call.caller_name });
    },
  });
  const registrations = { db, log };
  const calibrator = createCalibrator({ db, claims, now: Date.now });
  const handlers: StreamHandlers = {
    async onSnapshot(node, connection, restarted) {
      if (restarted) await settleCallsOfNode(reconcile, node.id, 'NODE_DIED');
      if (restarted) await rooms.takeNodeGone(node.id);
      await compareRegistrations(registrations, node, connection, commandTimeoutMs);
      await compareChannels(reconcile, node, connection, new Date());
      await rooms.compare(node, connection);
    },
    async onEvent(node, event) {
      if (event.type === 'channel') {
        await takeChannelEvent(settle, node, event);
        await rooms.takeChannelEvent(event);
      }
      if (event.type === 'room') await rooms.takeRoomEvent(node, event);
      if (event.type === 'registered') await takeRegistered(registrations, node, event);
      if (event.type === 'unregistered') await takeUnregistered(registrations, node, event);
    },
    onReport: (node, report) => calibrator.takeReport(node.id, report.idleCpuPercent),
    async onDown(node, reason) {
      await rooms.takeNodeGone(node.id);
      if (reason !== 'refused') return; // it may only be cut off: the sweep gives it time
      await settleCallsOfNode(reconcile, node.id, 'NODE_DIED');
      await dropRegistrations(registrations, node);
    },
  };
  const streams = createNodeStreams({ ...linkSettings, redis, prefix, log, handlers });
  stops.push(() => streams.stop());

  const queueConnection = createBlockingRedis(config.redisUrl, logger);
  stops.push(() => queueConnection.disconnect());
  const queue = createQueue<{ callId: string }>('calls', prefix, queueConnection);
  stops.push(() => queue.close());
  const dial: DialDeps = { ...settle, ...hold, links, commandTimeoutMs, signal: stopping.signal };
  const worker = createWorker<{ callId: string }>({
    name: 'calls',
    prefix,
    redisUrl: config.redisUrl,
    concurrency: config.callWorkers,
    logger,
    process: (job, token) => runDialJob(dial, job, token),
  });
  stops.push(async () => {
    stopping.abort();
    await worker.close();
  });
  const sweep = runEvery('calls sweep', SWEEP_INTERVAL_MS, logger, async () => {
    await sweepCalls({ ...reconcile, queue }, new Date());
    await expireRegistrations(registrations, new Date());
    await rooms.sweep(new Date());
  });
  stops.push(() => sweep.stop());

  const keyRing = createKeyRing({ db, redis, subscriber, prefix, logger });
  void keyRing.start();
  stops.push(() => keyRing.stop());
  if (config.bootstrapApiKey) await ensureBootstrapKey(db, config.bootstrapApiKey);
  const idempotency = createIdempotencyStore({ db, secretKey });
  const hourly = runEvery('old answers', HOUR_MS, logger, async () => void (await idempotency.sweep()));
  stops.push(() => hourly.stop());
  const retention = startEventRetention({ db, logger, keepMs: EVENTS_KEPT_MS, everyMs: HOUR_MS });
  stops.push(() => retention.stop());

  const callDeps = { ...settle, directory, links, queue, queueTimeoutMs: config.callQueueTimeoutMs };
  const nodeDeps = { db, log, logger, secretKey, joinToken: config.nodeJoinToken, claims, now: Date.now };
  const provisioning = {
    db,
    events: log,
    onKeysRevoked: keyRing.revoked,
    onUserChanged: ({ domain, username }: { domain: string; username: string }): void => {
      directory.forget(username, domain);
      links.broadcast(flushUserCache(username, domain));
    },
  };
  const events = createEventsEntrance({
    db,
    hub,
    logger,
    authenticate: keyRing.authenticate,
    onKeyRevoked: keyRing.onRevoked,
  });
  const app = createApp({
    routes: [
      ...domainsRoutes(provisioning),
      ...usersRoutes({ ...provisioning, listRegistrations: (userIds) => listRegistrations(db, userIds) }),
      ...apiKeysRoutes(provisioning),
      ...nodeRoutes(nodeDeps),
      ...poolRoutes({ ...dial, now: Date.now, policy: config.placementPolicy }),
      ...callRoutes({ ...callDeps, findDomain: (nameOrId, caller) => requireDomain(db, caller, nameOrId) }),
      ...roomsRoutes({ db, events: log, logger, secretKey, links, hooks: rooms.hooks, closeSession: rooms.close }),
      ...layoutsRoutes({ db, events: log }),
      ...events.routes,
    ],
    authenticate: keyRing.authenticate,
    idempotency,
    ready: async () => ({
      postgres: await db.raw('select 1').then(
        () => true,
        () => false,
      ),
      redis: redis.status === 'ready',
    }),
    metrics: new Registry(),
    logger,
    version: '0.1.0',
    publicUrl: config.publicUrl,
  });
  const dialplan: DialplanDeps = {
    ...settle,
    directory,
    secretKey,
    rooms: rooms.entering,
    findGrantOfUser: grantDirectory.findGrant,
  };
  const entrance = createNodeEntrance({
    ...dialplan,
    roomConfiguration: createRoomConfiguration(db),
    logins: createLogins(directory, grantDirectory),
    joinToken: config.nodeJoinToken,
    heartbeatSeconds: config.heartbeatSeconds,
    onNodeSeen: () => void Promise.all([links.refresh(), streams.refresh()]),
  });
  const server = createHttpServer((request, response) => {
    if (!entrance(request, response)) app(request, response);
  });
  const sockets = attachEventSockets(server, { events, authenticate: keyRing.authenticate, logger });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.httpPort, config.httpHost, resolve);
  });
  stops.push(
    () =>
      new Promise<void>((resolve) => {
        sockets.close();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const { port } = server.address() as AddressInfo;
  return `http://${config.httpHost}:${port}`;
}

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const logger = createLogger(config.logLevel);
  const running = await startSwitchyard(config, logger);
  logger.info({ url: running.url }, 'Switchyard answers');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      logger.info({ signal }, 'Switchyard stops');
      void running.stop().then(() => process.exit(0));
    });
  }
}

if (require.main === module) {
  main().catch((error: unknown) => {
    process.stderr.write(`Switchyard did not start: ${(error as Error).message}\n`);
    process.exit(1);
  });
}
