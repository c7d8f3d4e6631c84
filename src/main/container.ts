/** Puts the parts together: what they can do, before any role makes them do it. */
import { setMaxListeners } from 'node:events';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config';
import { rejoinRoom, rejoinLate } from '../domains/calls/reconcile/rejoin-room';
import { createBans } from '../domains/bans';
import { createChannelMemories } from '../domains/calls/adoption/channel-memory';
import { createCall, type CallDeps } from '../domains/calls/calls';
import { createDialFeed } from '../domains/calls/queue/feed';
import { createFairQueue, DIAL_QUEUE, tellQueue } from '../domains/calls/queue/fair-queue';
import { answerCall } from '../domains/calls/events/move-calls';
import type { ReconcileDeps } from '../domains/calls/reconcile/node-look';
import { createLeftRecords } from '../domains/calls/records/left-records';
import { createHandovers } from '../domains/calls/trust/handovers';
import { createStrayBudget } from '../domains/calls/trust/stray-records';
import { createGrants } from '../domains/grants';
import { createCanaryScheduler } from '../domains/nodes/health/canary/scheduler';
import { createRecall } from '../domains/nodes/capacity/claim-holders.store';
import { createClaims } from '../domains/nodes/capacity/claims';
import { registerGauges } from '../domains/nodes/pool/gauges';
import { reportLimitMs } from '../domains/nodes/limits';
import { listNodeRows } from '../domains/nodes/nodes.store';
import { createNodeConnections } from '../domains/nodes/connections/node-connections';
import { readAddressRules } from '../domains/nodes/entering/address-guard';
import type { AdmissionDeps } from '../domains/nodes/entering/admission';
import { createPoolSnapshots } from '../domains/nodes/pool/pool-snapshot';
import { createQuotas } from '../domains/quotas';
import { createRefusedReports } from '../domains/nodes/trust/refused-reports';
import { createDomainLookup } from '../domains/domains/domain-lookup';
import { createRecordings, openStorage } from '../domains/recordings';
import { registerRecordingFigures } from '../domains/recordings/figures';
import { createRelays } from '../domains/relays';
import { listOwnHosts } from '../domains/relays/targets/own-hosts';
import { requireLayout } from '../domains/rooms/layouts/layouts';
import { createRoomImages } from '../domains/rooms/images/images.routes';
import { createRoomControl } from '../domains/rooms/control';
import { createRunningRooms } from '../domains/rooms';
import { createDirectory } from '../domains/users/directory';
import { createSharedBuckets } from '../infra/stores/buckets';
import type { Logger } from '../infra/logger';
import { createShownLogins } from '../domains/users/shown-logins';
import { createMetrics } from '../infra/metrics';
import { createSignalQueue } from '../infra/stores/queues';
import { createBlockingRedis } from '../infra/stores/redis';
import { storeClock } from '../infra/store-clock';
import type { Stops, Stores } from './stores';
import { createApiKeys } from '../domains/api-keys';
import { createDomains } from '../domains/domains';
import { createUsers } from '../domains/users';
import { createEvents } from '../domains/events';
import { createSecrets } from '../domains/secrets';
import { type Domain } from '../domains/domain';
import { flushUserCache } from '../freeswitch/esl';
import { listRegistrations } from '../domains/registrations/registrations';
import { createNodes } from '../domains/nodes';
import { createRegistrations } from '../domains/registrations';
import { createCalls } from '../domains/calls';
import { layoutsRoutes } from '../domains/rooms/layouts/layouts.routes';
import { roomsRoutes } from '../domains/rooms/rooms.routes';
import { noteLeaveReason } from '../domains/rooms/participants/leave-reasons.store';

export type Container = Awaited<ReturnType<typeof buildContainer>>;

/** @throws where a folder or port that it needs is not to be had */
export async function buildContainer(config: Config, logger: Logger, stores: Stores, stops: Stops) {
  const { db, lookups, callPool, redis, log, keyRing } = stores;
  const { secretKey } = config;
  const prefix = config.redisPrefix;
  const isApi = config.roles.includes('api');
  const isSupervisor = config.roles.includes('supervisor');
  /** What is made later stands on what was made before, and is stopped first. */
  const keep = <D extends Domain>(domain: D): D => {
    stops.push(() => domain.stop?.());
    return domain;
  };
  const commandTimeoutMs = config.nodeCommandTimeoutMs;
  const claims = createClaims(redis, prefix, createRecall(db));
  const directory = createDirectory(lookups, storeClock.nowMs, secretKey);
  const linkSettings = { db, logger, secretKey, commandTimeoutMs };
  const links = createNodeConnections(linkSettings);
  stops.push(() => links.stop());

  const metrics = createMetrics();
  registerGauges(metrics.registry, {
    ...{ db, claims, now: storeClock.nowMs },
    reportLimitMs: reportLimitMs(config.heartbeatSeconds),
  });
  const refuseReport = createRefusedReports({ logger, count: metrics.countRefusedReport, now: storeClock.nowMs });
  const handovers = createHandovers(redis, prefix);
  const shownLogins = createShownLogins({ redis, prefix, now: storeClock.nowMs, sleep });
  const admission: AdmissionDeps = {
    ...{ db, log, logger, secretKey },
    joinToken: config.nodeJoinToken,
    approval: config.nodeApproval,
    rules: await readAddressRules(config, logger),
  };
  const buckets = createSharedBuckets({ redis, prefix, now: storeClock.nowMs });
  const quotas = keep(
    createQuotas({
      db,
      log,
      logger,
      redis,
      prefix,
      buckets,
      now: storeClock.nowMs,
      defaults: config.quotas,
      mostStreams: config.eventStreamsMax,
      countRefusal: metrics.countQuotaRefusal,
    }),
  );
  const queueConnection = createBlockingRedis(config.redisUrl, logger);
  stops.push(() => queueConnection.disconnect());
  const signals = createSignalQueue(DIAL_QUEUE, prefix, queueConnection);
  stops.push(() => signals.close());
  const queue = createFairQueue(redis, prefix, signals, { observeWait: metrics.observeQueue });
  stops.push(stores.bell.add(createDialFeed(queue, logger)));
  const settle = {
    db,
    log,
    logger,
    claims: tellQueue(claims, queue, logger),
    links,
    countOrphan: metrics.countOrphan,
    quotas,
    refuseReport,
    handovers,
    strayRecords: createStrayBudget(() => performance.now()),
  };
  const reconcile: ReconcileDeps = {
    ...settle,
    commandTimeoutMs,
    secretKey,
    memories: createChannelMemories(),
    leftRecords: createLeftRecords(settle, () => performance.now()),
  };
  const bans = keep(
    createBans({
      ...stores,
      logger,
      prefix,
      now: () => performance.now(),
      registry: metrics.registry,
      countFailure: metrics.countFailure,
      countRefusal: metrics.countRefusal,
      neverNetworks: [...config.banNever, ...config.trustedProxies, ...config.controlNetworks, ...config.nodeNetworks],
    }),
  );
  const hold = {
    db,
    claims,
    pool: createPoolSnapshots({ db, claims, now: storeClock.nowMs, minIdleCpuPercent: config.nodeMinIdleCpuPercent }),
    reportLimitMs: reportLimitMs(config.heartbeatSeconds),
    policy: config.placementPolicy,
    minIdleCpuPercent: config.nodeMinIdleCpuPercent,
    random: Math.random,
    observePlacement: metrics.observePlacement,
  };
  const calls: CallDeps = { ...settle, callPool, directory, links, queueTimeoutMs: config.callQueueTimeoutMs };

  /** Aborts when Switchyard stops, before anything it stands on is closed. */
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal); // many wait on it
  stops.push(() => stopping.abort());
  const canaryScheduler = createCanaryScheduler({
    ...settle,
    countCanary: metrics.countCanary,
    redis,
    prefix,
    secretKey,
    random: Math.random,
    signal: stopping.signal,
  });
  const rooms = createRunningRooms({
    ...hold,
    ...settle,
    secretKey,
    commandTimeoutMs,
    signal: stopping.signal,
    pins: bans.pins,
    onEntered: answerCall,
    redial: (participant) => rejoinRoom(calls, participant),
    rejoinLate: (participant) => rejoinLate(calls, participant),
  });
  const roomControl = createRoomControl({
    ...stores,
    logger,
    links,
    prefix,
    hooks: rooms.hooks,
    streams: quotas.streams,
    authenticate: keyRing.authenticate,
    onKeyRevoked: keyRing.onRevoked,
    markLeft: rooms.markLeft,
    handleMemberFacts: rooms.handleMemberFacts,
    requireLayout: (domainId, name) => requireLayout(db, domainId, name),
    createCall: (asked) => createCall(calls, asked),
  });
  void roomControl.start();
  stops.push(() => roomControl.stop());
  const images = createRoomImages({
    db,
    events: log,
    logger,
    links,
    secretKey,
    now: storeClock.nowMs,
    redis,
    prefix,
    hooks: rooms.hooks,
    sweeps: isSupervisor,
  });
  stops.push(() => images.stop());
  const findDomain = createDomainLookup(lookups, db, storeClock.nowMs);
  const storage = openStorage({ dir: config.recordingsDir, s3: config.recordingsS3 });
  const figures = { db, folder: config.recordingsDir, now: () => performance.now() };
  const recordings = keep(
    createRecordings(
      {
        ...registerRecordingFigures(metrics.registry, figures),
        ...settle,
        links,
        storage,
        secretKey,
        commandTimeoutMs,
        keepDays: config.recordingsKeepDays,
        maxUploadBytes: config.recordingsMaxBytes,
        now: storeClock.nowMs,
        findDomain,
      },
      rooms.hooks,
    ),
  );
  const relays = keep(
    await createRelays({
      ...settle,
      links,
      hooks: rooms.hooks,
      findDomain,
      secretKey,
      commandTimeoutMs,
      relayHost: config.relayHost,
      relayPort: config.relayPort,
      listenHost: config.relayListenHost,
      keeps: isSupervisor,
      allowPrivate: config.relayAllowPrivate,
      allowedHosts: config.relayAllowedHosts,
      ports: config.relayPorts,
      findOwnHosts: async () => listOwnHosts(config, await listNodeRows(db), networkInterfaces()),
    }),
  );
  const grants = keep(
    createGrants({
      ...hold,
      log,
      logger,
      secretKey,
      quotas,
      lookups,
      keyRing,
      links,
      publicUrl: config.publicUrl,
      openSession: rooms.open,
      commandTimeoutMs,
      ice: { turnUrls: config.turnUrls, turnSecret: config.turnSecret, stunUrls: config.stunUrls },
    }),
  );
  const provisioning = {
    db,
    events: log,
    logger,
    secretKey,
    quotas,
    commandTimeoutMs,
    onKeysRevoked: keyRing.revoked,
    onUserChanged: ({ domain, username }: { domain: string; username: string }): void => {
      directory.forget(username, domain);
      links.broadcast(flushUserCache(username, domain));
    },
    endings: { onGrantsEnded: keyRing.revoked, broadcast: links.broadcast },
    onPasswordChanged: bans.onPasswordChanged,
  };
  const domains = keep(createDomains(provisioning));
  const users = keep(createUsers({ ...provisioning, listRegistrations: (userIds) => listRegistrations(db, userIds) }));
  const apiKeys = keep(
    await createApiKeys({ ...provisioning, bootstrapKey: isApi ? config.bootstrapApiKey : undefined }),
  );
  const events = keep(
    createEvents({
      ...stores,
      logger,
      authenticate: grants.authenticate,
      onKeyRevoked: keyRing.onRevoked,
      streams: quotas.streams,
    }),
  );
  keep(createSecrets({ ...stores, prefix, logger, secretKey, seals: isSupervisor }));
  const nodes = keep(
    createNodes({
      ...{ db, log, logger, claims, commandTimeoutMs },
      mostUnits: config.nodeMaxUnits,
      routes: {
        nodes: { ...admission, claims, now: storeClock.nowMs },
        health: { runCanary: canaryScheduler.run },
        pool: { ...settle, ...hold, now: storeClock.nowMs, policy: config.placementPolicy },
      },
    }),
  );
  const registrations = keep(createRegistrations({ ...settle, shownLogins, commandTimeoutMs }));
  const callsDomain = keep(
    createCalls({
      ...{ reconcile, queue, claims, noteLeaveReason },
      routes: { ...calls, findDomain },
      maxCallHours: config.maxCallHours,
      holdLimitMinutes: config.holdLimitMinutes,
    }),
  );
  const layouts: Domain = { routes: layoutsRoutes({ db, events: log, quotas }) };
  const roomsRest: Domain = {
    routes: roomsRoutes({
      ...{ db, quotas, logger, secretKey, links },
      events: log,
      hooks: rooms.hooks,
      closeSession: rooms.close,
    }),
  };
  return {
    /** In the order in which /docs shows them. */
    served: [
      ...[domains, users, apiKeys, bans, nodes, callsDomain],
      ...[roomsRest, images, layouts, roomControl, grants, recordings, relays, events, quotas],
    ] satisfies Domain[] as Domain[],
    /** In the order in which they hear of a node; when it is down, in reverse. */
    supervised: [
      ...[nodes, grants, users, registrations, callsDomain],
      ...[rooms, roomControl, recordings, relays, bans],
    ] satisfies Domain[] as Domain[],
    registrations,
    config,
    logger,
    stores,
    events,
    directory,
    linkSettings,
    links,
    settle,
    reconcile,
    admission,
    hold,
    queue,
    stopping,
    metrics,
    shownLogins,
    canaryScheduler,
    bans,
    buckets,
    quotas,
    rooms,
    roomControl,
    images,
    recordings,
    relays,
    grants,
  };
}
