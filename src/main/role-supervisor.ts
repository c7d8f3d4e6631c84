/** The role `supervisor`: takes in what nodes report, one replica for each node, and makes good what no event told. */
import { SWEEP_INTERVAL_MS } from '../domains/calls/reconcile/reconcile-node';
import { watchNetworkLists } from '../domains/nodes/connections/acl-refresh';

import {
  createEventIntakes,
  type EventIntakes,
  type EventIntakeHandlers,
} from '../domains/nodes/connections/event-intake';
import { runEvery } from '../infra/flow/interval';
import { storeClock } from '../infra/store-clock';
import { createLeaderLease } from '../infra/stores/leader-lease';
import { createNodeSupervision } from './node-supervision';
import { followDrains } from './drains';
import type { Container } from './container';
import { createLanes, laneOf } from './lanes';
import type { Stops } from './stores';

/** Another replica sweeps when this one has not for so long. */
const SWEEP_LEASE_MS = 2 * SWEEP_INTERVAL_MS + 500;

export function startSupervisorRole(container: Container, stops: Stops): EventIntakes {
  const { config, logger, metrics, registrations, supervised } = container;
  const { db, log, redis } = container.stores;
  const commandTimeoutMs = config.nodeCommandTimeoutMs;
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
      for (const { handlers: own } of supervised) await own?.onRestarted?.(node, coreUuid);
    },
    async onSnapshot(node, connection) {
      for (const { handlers: own } of supervised) await own?.onSnapshot?.(node, connection);
    },
    lanes: createLanes(container, registrations.deps),
    laneOf,
    async onReport(node, report) {
      metrics.countNodeEvent(report.type);
      for (const { handlers: own } of supervised) await own?.onReport?.(node, report);
    },
    onHeld: createNodeSupervision(container, lists),
    async onDown(node, reason) {
      for (const { handlers: own } of [...supervised].reverse()) await own?.onDown?.(node, reason);
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
  const lease = createLeaderLease(redis, `${config.redisPrefix}:sweep`, SWEEP_LEASE_MS);
  const sweep = runEvery('calls and rooms sweep', SWEEP_INTERVAL_MS, logger, async () => {
    if (!(await lease.acquire())) return;
    const now = storeClock.now();
    for (const domain of supervised) for (const each of domain.sweeps ?? []) await each.run(now);
  });
  stops.push(async () => {
    await sweep.stop();
    await lease.release();
  });
  stops.push(followDrains(container));
  return streams;
}
