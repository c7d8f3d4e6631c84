/** The state of the whole pool as gauges: read from the database when somebody asks, and not more often than it changes. */
import { Gauge, type Registry } from 'prom-client';
import type { Queryable } from '../../../infra/stores/db';
import type { Claims } from '../capacity/claims';
import { listNodeRows, NODE_STATES, type NodeRow } from '../nodes.store';
import { countByState, readOldestQueuedSeconds } from './pool.store';

export interface GaugesDeps {
  db: Queryable;
  claims: Pick<Claims, 'readTotals'>;
  now: () => number;
  /** After so long without a report a node that serves is `silent`. */
  reportLimitMs: number;
}

/** Several scrapers, or one that is impatient, cost one reading. */
const KEPT_MS = 2000;
const CALL_STATES = ['queued', 'placing', 'ringing', 'answered'] as const;
const PARTICIPANT_STATES = ['joining', 'in', 'away'] as const;

/** It counts as serving by its row, and nobody has heard of it. */
export const isSilent = (row: Pick<NodeRow, 'state' | 'reported_at'>, nowMs: number, limitMs: number): boolean =>
  row.state === 'serving' && nowMs - (row.reported_at?.getTime() ?? 0) > limitMs;

/** Every replica tells the same figures: take the highest, not the sum. While a store is away they stay as they were. */
export function registerGauges(registry: Registry, deps: GaugesDeps): void {
  let readAtMs = -Infinity;
  let reading: Promise<void> | undefined;
  /** Each gauge asks for it before it tells its value, and all wait for the same reading. */
  const refresh = (): Promise<void> => {
    if (!reading && deps.now() - readAtMs < KEPT_MS) return Promise.resolve();
    reading ??= Promise.allSettled([readCounts(), readNodes()]).then((done) => {
      reading = undefined;
      readAtMs = deps.now();
      if (done.every((one) => one.status === 'fulfilled')) read.set(readAtMs / 1000);
    });
    return reading;
  };
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `switchyard_${name}`, help, labelNames, registers: [registry], collect: refresh });
  const nodes = gauge('nodes', 'Nodes by state; one that serves and does not report is silent.', ['state']);
  const faults = gauge('node_connection_fault', 'Nodes that can not be connected to, and why.', ['node', 'reason']);
  const idleCpu = gauge('node_idle_cpu_percent', 'As the node reported last.', ['node']);
  const oldestQueued = gauge('calls_oldest_queued_seconds', 'How long the call waits that waits longest.');
  const unhealthy = gauge('nodes_unhealthy', 'Nodes that get no new calls for their health checks or canary.');
  const conferenceSeconds = gauge('node_conference_seconds', 'The last timed conference command.', ['node']);
  const clockOffset = gauge(
    'node_clock_offset_seconds',
    "By how much a node's clock is ahead of ours; negative: behind.",
    ['node'],
  );
  const calls = gauge('calls', 'Live calls by state.', ['state']);
  const rooms = gauge('rooms_live', 'Rooms that are open.', ['state']);
  const participants = gauge('participants', 'Participants of open rooms by state.', ['state']);
  const claimed = gauge('claimed_units', 'Capacity held on all nodes.');
  const capacity = gauge('capacity_units', 'Effective capacity of nodes that serve and report.');
  const read = gauge('pool_read_timestamp_seconds', 'When the figures of the pool were read last.');

  async function readCounts(): Promise<void> {
    const tables = [
      [calls, 'calls', CALL_STATES],
      [rooms, 'sessions', ['opening', 'live']],
      [participants, 'participants', PARTICIPANT_STATES],
    ] as const;
    for (const [into, table, states] of tables) {
      const counts = await countByState(deps.db, table, states);
      for (const state of states) into.set({ state }, counts.get(state) ?? 0);
    }
    oldestQueued.set(await readOldestQueuedSeconds(deps.db));
  }

  async function readNodes(): Promise<void> {
    const rows = await listNodeRows(deps.db);
    const stateOf = (row: NodeRow): string => (isSilent(row, deps.now(), deps.reportLimitMs) ? 'silent' : row.state);
    for (const state of [...NODE_STATES, 'silent'])
      nodes.set({ state }, rows.filter((row) => stateOf(row) === state).length);
    faults.reset();
    idleCpu.reset();
    for (const row of rows) {
      if (row.connection_fault) faults.set({ node: row.name, reason: row.connection_fault.kind }, 1);
      if (row.reported_at) idleCpu.set({ node: row.name }, Number(row.idle_cpu_percent));
    }
    unhealthy.set(rows.filter((row) => row.unhealthy_reason !== null).length);
    conferenceSeconds.reset();
    clockOffset.reset();
    for (const { name, clock } of rows) if (clock) clockOffset.set({ node: name }, clock.offsetMs / 1000);
    for (const { name, probe } of rows) {
      if (typeof probe.conferenceMs === 'number') conferenceSeconds.set({ node: name }, probe.conferenceMs / 1000);
    }
    const serving = rows.filter((row) => stateOf(row) === 'serving');
    capacity.set(serving.reduce((sum, row) => sum + Number(row.effective_units ?? row.capacity_units), 0));
    const totals = await deps.claims.readTotals(
      rows.map((row) => row.id),
      deps.now(),
    );
    claimed.set(totals.reduce((sum, units) => sum + units, 0));
  }
}
