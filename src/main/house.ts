/** Puts the rooms of the house together: what they can do, before any role makes them do it. */
import { setMaxListeners } from 'node:events';
import type { Config } from '../config';
import { bringBack, bringBackLate } from '../domains/calls/bring-back';
import { createCall, type CallDeps } from '../domains/calls/calls';
import { answerCall } from '../domains/calls/progress';
import { createHandovers } from '../domains/calls/trust/handovers';
import { openGrants } from '../domains/grants/open';
import { createCanaries } from '../domains/nodes/canaries';
import { createRecall } from '../domains/nodes/claimants.store';
import { createClaims } from '../domains/nodes/claims';
import { registerGauges } from '../domains/nodes/gauges';
import { reportLimitMs } from '../domains/nodes/limits';
import { createNodeLinks } from '../domains/nodes/links';
import { readAddressRules } from '../domains/nodes/entering/address-guard';
import type { AdmissionDeps } from '../domains/nodes/entering/admission';
import { createPoolPicture } from '../domains/nodes/pool';
import { createRefusedReports } from '../domains/nodes/trust/refused-reports';
import { requireDomain } from '../domains/domains/domains';
import { createRecordings, openStorage } from '../domains/recordings/create-recordings';
import { createRelays } from '../domains/relays/create-relays';
import { requireLayout } from '../domains/rooms/layouts';
import { createPictures } from '../domains/rooms/pictures.routes';
import { createSteering } from '../domains/rooms/create-steering';
import { createRunningRooms } from '../domains/rooms/running';
import { createDirectory } from '../domains/users/directory';
import type { Logger } from '../infra/logger';
import type { Caller } from '../infra/route';
import { createMetrics } from '../infra/metrics';
import { createQueue } from '../infra/queues';
import { createBlockingRedis } from '../infra/redis';
import type { Stops, Stores } from './stores';

export type House = Awaited<ReturnType<typeof buildHouse>>;

/** @throws where a folder or port that it needs is not to be had */
export async function buildHouse(config: Config, logger: Logger, stores: Stores, stops: Stops) {
  const { db, lookups, redis, log, keyRing } = stores;
  const { secretKey } = config;
  const prefix = config.redisPrefix;
  const commandTimeoutMs = config.nodeCommandTimeoutMs;
  const claims = createClaims(redis, prefix, createRecall(db));
  const directory = createDirectory(lookups, Date.now);
  const linkSettings = { db, logger, secretKey, commandTimeoutMs };
  const links = createNodeLinks(linkSettings);
  stops.push(() => links.stop());

  const metrics = createMetrics();
  registerGauges(metrics.registry, { db, claims, now: Date.now });
  const refuseReport = createRefusedReports({ logger, count: metrics.countRefusedReport, now: Date.now });
  const handovers = createHandovers(redis, prefix);
  const settle = { db, log, logger, claims, links, countOrphan: metrics.countOrphan, refuseReport, handovers };
  const admission: AdmissionDeps = {
    ...{ db, log, logger, secretKey },
    joinToken: config.nodeJoinToken,
    approval: config.nodeApproval,
    rules: await readAddressRules(config, logger),
  };
  const hold = {
    db,
    claims,
    pool: createPoolPicture({ db, claims, now: Date.now, minIdleCpuPercent: config.nodeMinIdleCpuPercent }),
    reportLimitMs: reportLimitMs(config.heartbeatSeconds),
    policy: config.placementPolicy,
    minIdleCpuPercent: config.nodeMinIdleCpuPercent,
    random: Math.random,
    observePlacement: metrics.observePlacement,
  };
  const queueConnection = createBlockingRedis(config.redisUrl, logger);
  stops.push(() => queueConnection.disconnect());
  const queue = createQueue<{ callId: string }>('calls', prefix, queueConnection);
  stops.push(() => queue.close());
  const calls: CallDeps = { ...settle, directory, links, queue, queueTimeoutMs: config.callQueueTimeoutMs };

  /** Aborts when Switchyard stops, before anything it stands on is closed. */
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal); // every call that is being dialled waits on it
  stops.push(() => stopping.abort());
  const canaries = createCanaries({
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
    onEntered: answerCall,
    redial: (participant) => bringBack(calls, participant),
    bringBackLate: (participant) => bringBackLate(calls, participant),
  });
  const steering = createSteering({
    ...stores,
    logger,
    links,
    prefix,
    hooks: rooms.hooks,
    authenticate: keyRing.authenticate,
    onKeyRevoked: keyRing.onRevoked,
    markLeft: rooms.markLeft,
    requireLayout: (domainId, name) => requireLayout(db, domainId, name),
    createCall: (asked) => createCall(calls, asked),
  });
  void steering.start();
  stops.push(() => steering.stop());
  const pictures = createPictures({
    db,
    events: log,
    logger,
    links,
    secretKey,
    now: Date.now,
    redis,
    prefix,
    hooks: rooms.hooks,
    sweeps: config.roles.includes('supervisor'),
  });
  stops.push(() => pictures.stop());
  const findDomain = (nameOrId: string | undefined, caller: Caller) => requireDomain(db, caller, nameOrId);
  const storage = openStorage({ dir: config.recordingsDir, s3: config.recordingsS3 });
  const recordings = createRecordings(
    {
      ...settle,
      links,
      storage,
      secretKey,
      commandTimeoutMs,
      keepDays: config.recordingsKeepDays,
      maxUploadBytes: config.recordingsMaxBytes,
      now: Date.now,
      findDomain,
    },
    rooms.hooks,
  );
  stops.push(() => recordings.stop());
  const relays = await createRelays({
    ...settle,
    links,
    hooks: rooms.hooks,
    findDomain,
    secretKey,
    commandTimeoutMs,
    relayHost: config.relayHost,
    relayPort: config.relayPort,
    keeps: config.roles.includes('supervisor'),
    allowPrivate: config.relayAllowPrivate,
    allowedHosts: config.relayAllowedHosts,
  });
  stops.push(() => relays.stop());
  const grants = openGrants({
    ...hold,
    log,
    logger,
    lookups,
    keyRing,
    links,
    publicUrl: config.publicUrl,
    openSession: rooms.open,
    ice: { turnUrls: config.turnUrls, turnSecret: config.turnSecret, stunUrls: config.stunUrls },
  });
  stops.push(() => grants.stop());
  return {
    config,
    logger,
    stores,
    directory,
    linkSettings,
    links,
    claims,
    settle,
    admission,
    hold,
    queue,
    calls,
    stopping,
    metrics,
    canaries,
    rooms,
    steering,
    pictures,
    recordings,
    relays,
    grants,
    findDomain,
  };
}
