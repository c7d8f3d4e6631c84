/** One replica at a time takes in a node's events: it holds the lease, subscribes once, compares, then listens. */
import { randomUUID } from 'node:crypto';
import { isUnreachable } from '../../../infra/stores/db';
import { createConcurrencyLimit, type ConcurrencyLimit } from '../../../infra/flow/concurrency-limit';
import { isPortRefused } from '../../../infra/flow/port-probe';
import type { Redis } from '../../../infra/stores/redis';
import { storeClock } from '../../../infra/store-clock';
import { createLeaderLease } from '../../../infra/stores/leader-lease';
import {
  SUBSCRIPTION,
  type HeartbeatEvent,
  type NodeConnection,
  type NodeEvent,
  type NodeLink,
} from '../../../freeswitch/esl';
import type { EventLog } from '../../events/events';
import { createConnectionFaults } from './connection-fault';
import { createEventBatches, type EventBatches, type IntakeLane, type NodeFact } from './event-batches';
import { followClock } from '../clock/follow-clock';
import { askMissingReports } from '../clock/missing-reports';
import { followNodes, linkToNode, readCore, type LinkSettings } from './node-connections';
import { changeNodeState } from '../nodes';
import { findNode, noteCore, saveReports, type NodeReport, type NodeRow, noteReported } from '../nodes.store';
import { boundReport } from '../trust/bounded-report';

/** With the time until another looks, connects and compares, a dead replica is replaced within five seconds. */
const LEASE_MS = 3000;
const RENEW_MS = 1000;
/** A node that has closed its socket and does not come back in this time is down (a killed one refuses at once). */
const GRACE_MS = 2000;
/** One that is frozen has been silent for the probe's time already: it is only given time to let us in again. */
const FROZEN_GRACE_MS = 1000;
/** With the probe's time and the grace, a frozen node is down within two heartbeats of the default period. */
const PROBE_MS = 1000;
const PROBE_PORT_MS = 1000;
/** Of what a node calls its process. */
const LONGEST_CORE = 64;
/** Of all nodes together: a comparison waits for its node, and with a thousand of them nobody else would have a connection. */
const SNAPSHOTS_AT_ONCE = 24;
/** Reports are written together: a thousand nodes that report are some dozen statements. */
const REPORTS_AT_ONCE = 48;

export interface EventIntake {
  /** Undefined while it is not up. */
  connection(): NodeConnection | undefined;
  /** Runs a step in its turn: after all events that came before, and before those that come behind. */
  run(step: () => Promise<void>): void;
}

/** What the other rooms do with a node's reports. Every method may be called twice with the same: it must not matter. */
export interface EventIntakeHandlers {
  /** After every (re)connect, before any event: compare what is with what is known. */
  onSnapshot(node: NodeRow, connection: NodeConnection): Promise<void>;
  /** The node is up under another core UUID than it had: what it had is gone. Before the new one is written down. */
  onRestarted(node: NodeRow, coreUuid: string): Promise<void>;
  /** Who takes in which events, and how many at once; a node's own stay in their order (event-batches.ts). */
  lanes: readonly IntakeLane[];
  /** @returns the name of one of the lanes; undefined where nobody wants to know of it. A HEARTBEAT is not asked for. */
  laneOf(event: NodeEvent): string | undefined;
  /** A HEARTBEAT, after it was saved. */
  onReport?(node: NodeRow, report: HeartbeatEvent): Promise<void>;
  /** From now on this replica looks after the node; what is started here ends with that. */
  onHeld?(node: NodeRow, stream: EventIntake): { stop(): Promise<void> };
  /** The node is down: its sockets refuse, or nobody has heard of it for the grace. */
  onDown(node: NodeRow, reason: string): Promise<void>;
}

export interface EventIntakeSettings extends LinkSettings {
  redis: Redis;
  prefix: string;
  log: EventLog;
  /** HEARTBEAT_SECONDS. */
  heartbeatSeconds: number;
  handlers: EventIntakeHandlers;
}

/** What the streams of a replica have in common. */
interface Shared {
  intake: EventBatches;
  snapshots: ConcurrencyLimit;
}

export interface EventIntakes {
  refresh(): Promise<void>;
  stop(): Promise<void>;
}

export function createEventIntakes(settings: EventIntakeSettings): EventIntakes {
  const replicaId = randomUUID();
  const { handlers, logger } = settings;
  const intake = createEventBatches({
    logger,
    lanes: [...handlers.lanes, reportsLane(settings)],
    laneOf: (event) => (event.type === 'heartbeat' ? REPORTS : handlers.laneOf(event)),
    now: () => performance.now(),
  });
  const shared = { intake, snapshots: createConcurrencyLimit(SNAPSHOTS_AT_ONCE) };
  return followNodes(settings, (node) => holdStream(settings, node, replicaId, shared));
}

const REPORTS = 'reports';

/** HEARTBEATs: only the last one of each node counts. */
function reportsLane({ db, handlers }: EventIntakeSettings): IntakeLane {
  return {
    ...{ name: REPORTS, most: REPORTS_AT_ONCE, batches: 1, gatherMs: 0 },
    async take(facts) {
      const last = new Map<string, NodeFact & { event: HeartbeatEvent }>();
      for (const { event, ...of } of facts) if (event.type === 'heartbeat') last.set(of.node.id, { ...of, event });
      const reports = [...last.values()].map((fact) => ({ ...fact, figures: boundReport(fact.event) }));
      await saveReports(
        db,
        reports.map(({ node, arrivedMs, figures }): NodeReport => ({
          id: node.id,
          at: new Date(arrivedMs),
          ...figures,
        })),
      );
      await Promise.all(reports.map(({ node, event, figures }) => handlers.onReport?.(node, { ...event, ...figures })));
    },
  };
}

function holdStream(
  settings: EventIntakeSettings,
  node: NodeRow,
  replicaId: string,
  shared: Shared,
): { stop(): Promise<void> } {
  const lease = createLeaderLease(settings.redis, `${settings.prefix}:stream:${node.id}`, LEASE_MS, replicaId);
  let stream: { link: NodeLink; stop(): Promise<void> } | undefined;
  let busy = false;
  let stopped = false;

  async function renew(): Promise<void> {
    if (busy || stopped) return;
    busy = true;
    try {
      // While Redis is away the holder goes on: handling twice does no harm, handling nothing would.
      const mine = await lease.acquire(stream !== undefined);
      if (mine && !stream && !stopped) stream = openStream(settings, node, shared);
      if (!mine && stream) {
        const old = stream;
        stream = undefined;
        await old.stop();
      }
    } finally {
      busy = false;
    }
  }
  const timer = setInterval(() => void renew(), RENEW_MS);
  void renew();
  return {
    async stop() {
      stopped = true;
      clearInterval(timer);
      await stream?.stop();
      if (stream) await lease.release();
    },
  };
}

function openStream(
  settings: EventIntakeSettings,
  node: NodeRow,
  shared: Shared,
): { link: NodeLink; stop(): Promise<void> } {
  const { db, handlers, logger } = settings;
  const queue = shared.intake.open(node);
  let graceTimer: NodeJS.Timeout | undefined;
  const faults = createConnectionFaults({ db, logger, node, now: storeClock.nowMs });
  let stopped = false;

  async function reportUp(connection: NodeConnection, coreUuid: string): Promise<void> {
    const known = await findNode(db, node.id);
    if (!known) return;
    // Where this breaks off, the next to connect finds the old one still written, and does it again.
    if (known.core_uuid !== null && known.core_uuid !== coreUuid) await handlers.onRestarted(known, coreUuid);
    await noteCore(db, node.id, coreUuid);
    await faults.clear();
    await handlers.onSnapshot({ ...known, core_uuid: coreUuid }, connection);
    const state = known.drain_deadline_at ? 'draining' : 'serving';
    await changeNodeState(settings, node.id, ['joining', 'down'], {
      state,
      down_since: null,
      down_reason: null,
      reported_at: storeClock.now(),
    });
    if (known.state === 'serving' || known.state === 'draining') {
      await noteReported(db, node.id, storeClock.now());
    }
  }
  async function reportDown(told: string): Promise<void> {
    if (link.connection() !== undefined) return;
    // This may have waited: for Postgres, or with a process that was stopped. The node may run again by now, or be gone
    // for sure where it was only unavailable.
    const isGone = await isPortRefused(node.host, node.esl_port, PROBE_PORT_MS);
    if (link.connection() !== undefined || (told === 'refused' && !isGone)) return;
    const reason = isGone ? 'refused' : told;
    const row = await changeNodeState(
      settings,
      node.id,
      ['serving', 'draining'],
      { state: 'down', down_since: storeClock.now(), down_reason: reason },
      { reason },
    );
    if (row) await handlers.onDown(row, reason);
  }
  const clock = followClock(settings, node, () => link.connection());
  const missing = askMissingReports({
    ...{ node, logger, commandTimeoutMs: settings.commandTimeoutMs },
    everyMs: settings.heartbeatSeconds * 1000,
    silentUntilMs: () => clock.silentUntilMs(),
    connection: () => link.connection(),
    take: (report, arrivedMs) => queue.add(report, arrivedMs),
  });

  const link = linkToNode(settings, node, {
    clock,
    probeIntervalMs: PROBE_MS,
    async onUp(connection) {
      const early: { event: NodeEvent; arrivedMs: number }[] = [];
      let listening = false;
      connection.onEvent((event) => {
        if (event.type === 'job') return;
        if (event.type === 'heartbeat') missing.noteReport();
        if (listening) queue.add(event, storeClock.nowMs());
        else early.push({ event, arrivedMs: storeClock.nowMs() });
      });
      await clock.begin();
      await connection.subscribe(SUBSCRIPTION.events, SUBSCRIPTION.subclasses);
      await clock.measure(connection);
      queue.run(async () => {
        await shared.snapshots.run(async () => {
          if (!connection.isOpen) return;
          // Asked here and not before: whoever answers now lives now, however long this step has waited.
          const core = await connection.api(readCore(), { timeoutMs: settings.commandTimeoutMs });
          try {
            await reportUp(connection, core.text.trim().slice(0, LONGEST_CORE));
          } catch (error) {
            // Else the node would stay down for as long as this connection stands: it is made again, and asked again.
            if (!isUnreachable(error)) connection.close();
            throw error;
          }
        });
      });
      for (const { event, arrivedMs } of early) queue.add(event, arrivedMs);
      listening = true;
      clearTimeout(graceTimer);
      graceTimer = undefined;
    },
    onDown(reason) {
      if (stopped) return;
      if (faults.take(reason)) queue.run(() => faults.save());
      // Each attempt that fails tells again: the grace counts from the first.
      if (graceTimer !== undefined && reason.kind !== 'refused') return;
      clearTimeout(graceTimer);
      const graceMs = reason.kind === 'refused' ? 0 : reason.kind === 'timeout' ? FROZEN_GRACE_MS : GRACE_MS;
      graceTimer = setTimeout(() => {
        graceTimer = undefined;
        if (link.connection() === undefined) queue.run(() => reportDown(reason.kind));
      }, graceMs);
    },
  });
  const held = handlers.onHeld?.(node, { connection: () => link.connection(), run: (step) => queue.run(step) });
  return {
    link,
    async stop() {
      stopped = true;
      clearTimeout(graceTimer);
      await held?.stop();
      await Promise.all([clock.stop(), missing.stop()]);
      await link.stop();
      await queue.end();
    },
  };
}
