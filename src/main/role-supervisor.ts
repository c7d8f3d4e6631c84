/** The role `supervisor`: takes in what nodes report, one replica for each node, and makes good what no event told. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseProfileRegistrations, showRegistrationsOf, type ApiCommand } from '../freeswitch/esl';
import { createClaimsSweep } from '../domains/calls/reconcile/claims-sweep';
import { endLongHolds } from '../domains/calls/reconcile/hold-limit';
import { endOverlongCalls } from '../domains/calls/reconcile/max-duration';
import { settleForgottenAttempts } from '../domains/calls/reconcile/forgotten-attempts';
import { reconcileChannels, settleCallsOfNode, SWEEP_INTERVAL_MS } from '../domains/calls/reconcile/reconcile-node';
import { createCallSweep } from '../domains/calls/reconcile/sweep';
import { followEffectiveCapacity } from '../domains/nodes/capacity/follow-capacity';
import { watchNetworkLists } from '../domains/nodes/connections/acl-refresh';

import { learnModules } from '../domains/nodes/features/ask-modules';
import {
  createEventIntakes,
  type EventIntakes,
  type EventIntakeHandlers,
} from '../domains/nodes/connections/event-intake';
import { reconcileRegistrations } from '../domains/registrations/reconcile-node';
import { dropRegistrations, expireRegistrations, type RegistrationDeps } from '../domains/registrations/registrations';
import { createLateProofs } from '../domains/registrations/events/late-proofs';
import { createDoubts } from '../domains/registrations/still-there';
import { noteLeaveReason } from '../domains/rooms/participants/leave-reasons.store';
import { runEvery } from '../infra/flow/interval';
import { storeClock } from '../infra/store-clock';
import { createLeaderLease } from '../infra/stores/leader-lease';
import { createNodeSupervision } from './node-supervision';
import { followDrains } from './drains';
import type { Container } from './container';
import { createLanes, laneOf } from './lanes';
import type { Stops } from './stores';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Another replica sweeps when this one has not for so long. */
const SWEEP_LEASE_MS = 2 * SWEEP_INTERVAL_MS + 500;

export function startSupervisorRole(container: Container, stops: Stops): EventIntakes {
  const {
    config,
    logger,
    settle,
    bans,
    quotas,
    links,
    rooms,
    roomControl,
    recordings,
    relays,
    claims,
    queue,
    metrics,
    shownLogins,
    reconcile,
    grants,
    users,
  } = container;
  const { db, log, redis } = container.stores;
  const commandTimeoutMs = config.nodeCommandTimeoutMs;
  const flush = (nodeId: string, command: ApiCommand): void => {
    // A phone that its node still lists is found, and let go again, by the next comparison.
    links
      .api(nodeId, command)
      .catch((error: unknown) => logger.debug({ err: error, nodeId }, 'a phone is let go later'));
  };
  const askProfile: RegistrationDeps['askProfile'] = async (nodeId, username, domain) => {
    const reply = await links.api(nodeId, showRegistrationsOf('internal', username, domain));
    return parseProfileRegistrations(reply.text);
  };
  const { refuseReport } = settle;
  const doubts = createDoubts(logger);
  const lateProofs = createLateProofs({ logger, sleep });
  stops.push(() => {
    doubts.stop();
    return lateProofs.stop();
  });
  const waiting = { askProfile, doubts, lateProofs };
  const registrations: RegistrationDeps = { db, log, logger, quotas, flush, ...waiting, shownLogins, refuseReport };
  const calibrator = followEffectiveCapacity({ db, claims, now: storeClock.nowMs, mostUnits: config.nodeMaxUnits });
  const { controlNetworks, nodeNetworks } = config;
  const lists = watchNetworkLists({
    db,
    logger,
    commandTimeoutMs,
    controlNetworks,
    nodeNetworks,
    now: storeClock.nowMs,
  });
  const handlers: EventIntakeHandlers = {
    async onRestarted(node, coreUuid) {
      await settleCallsOfNode(reconcile, node.id, 'NODE_DIED', coreUuid);
      await rooms.takeNodeGone(node.id);
    },
    async onSnapshot(node, connection) {
      // Before it serves: what it can do decides what is sent there.
      await learnModules({ log, logger }, node, (command) => connection.api(command, { timeoutMs: commandTimeoutMs }));
      await grants.handlers?.onSnapshot?.(node, connection);
      await users.handlers?.onSnapshot?.(node, connection);
      await reconcileRegistrations(registrations, node, connection, commandTimeoutMs);
      await reconcileChannels(reconcile, node, connection, storeClock.now());
      await rooms.compare(node, connection);
      await roomControl.compareLive(node);
      await recordings.handlers.onSnapshot(node, connection);
      await relays.handlers?.onSnapshot?.(node, connection);
    },
    lanes: createLanes(container, registrations),
    laneOf,
    async onReport(node, report) {
      metrics.countNodeEvent(report.type);
      await calibrator.takeReport(node.id, report.idleCpuPercent);
    },
    onHeld: createNodeSupervision(container, lists),
    async onDown(node, reason) {
      await rooms.takeNodeGone(node.id);
      if (reason !== 'refused') return; // it may only be cut off: the sweep gives it time
      await settleCallsOfNode(reconcile, node.id, 'NODE_DIED');
      await dropRegistrations(registrations, node);
    },
  };
  const streams = createEventIntakes({
    ...container.linkSettings,
    redis,
    prefix: config.redisPrefix,
    log,
    heartbeatSeconds: config.heartbeatSeconds,
    handlers,
  });
  stops.push(async () => {
    await streams.stop();
    await lists.stop();
  });
  const claimsSweep = createClaimsSweep({ ...settle, claims });
  const calls = createCallSweep({ ...reconcile, queue });
  const lease = createLeaderLease(redis, `${config.redisPrefix}:sweep`, SWEEP_LEASE_MS);
  const sweep = runEvery('calls and rooms sweep', SWEEP_INTERVAL_MS, logger, async () => {
    if (!(await lease.acquire())) return;
    const now = storeClock.now();
    await settleForgottenAttempts(settle, now);
    await calls.step(now);
    await endOverlongCalls(settle, now, config.maxCallHours * HOUR_MS);
    await endLongHolds({ ...settle, noteLeaveReason }, now, config.holdLimitMinutes * MINUTE_MS);
    await expireRegistrations(registrations, now);
    await rooms.sweep(now);
    for (const each of bans.sweeps) await each.run(now);
    await claimsSweep.run(now).catch(() => undefined); // while Redis is away there are none
  });
  stops.push(async () => {
    await sweep.stop();
    await lease.release();
  });
  stops.push(followDrains(container));
  return streams;
}
