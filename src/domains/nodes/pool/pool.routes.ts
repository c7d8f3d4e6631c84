/** The REST of the pool as a whole: what is, what should be done about it, and what would be. */
import { z } from 'zod';
import { SwitchyardError } from '../../../errors';
import type { Db } from '../../../infra/stores/db';
import { createSeededRandom } from '../../../infra/random';
import { defineRoute, type Route } from '../../../infra/route';
import { connectionFaultSchema, presentConnectionFault } from '../connections/connection-fault';
import { clockSchema, presentClock } from '../clock/present';
import { lacksSchema, presentLacks } from '../features/present';
import { presentHealth } from '../health/health';
import { healthSchema } from '../health/health.routes';
import { SCALING } from '../limits';
import { listNodeRows, NODE_STATES, type NodeRow } from '../nodes.store';
import { POLICY_NAMES, type NodeView, type PolicyName } from '../selection/policies';
import { viewNode, type PoolSnapshots } from './pool-snapshot';
import { businessOf, countBusiness, type NodeBusiness } from './pool.store';
import { adviseScaling } from './scaling-advice';
import { runWhatIf } from './what-if';
import { roomUnits } from '../capacity/units';
import { instant } from '../../../infra/text/instants';

export interface PoolRouteDeps {
  db: Db;
  pool: PoolSnapshots;
  /** Milliseconds since 1970. */
  now: () => number;
  policy: PolicyName;
  reportLimitMs: number;
  minIdleCpuPercent: number;
}

/** Fixed, so that the same question has the same answer. */
const WHAT_IF_SEED = 1;
const memberSchema = z.object({
  id: z.uuid(),
  name: z.string(),
  state: z.enum(NODE_STATES),
  silent: z.boolean().describe('Its last report is too old: it gets no new calls.'),
  saturated: z.enum(['busy_cpu', 'full']).nullable().describe('It reached this limit a moment ago.'),
  downReason: z.string().nullable(),
  connectionFault: connectionFaultSchema,
  zone: z.string(),
  version: z.string().nullable(),
  sessions: z.number().describe("Channels in FreeSWITCH's last report."),
  maxSessions: z.number(),
  idleCpuPercent: z.number(),
  claimedUnits: z.number().nullable().describe('null while Redis is unavailable'),
  capacityUnits: z.number(),
  effectiveUnits: z.number(),
  liveCalls: z.number(),
  liveLegs: z.number().describe('Channels of live calls, including calls that another node carries.'),
  rooms: z.number(),
  registrations: z.number(),
  drainDeadlineAt: instant,
  reportedAt: instant,
  downSince: instant,
  health: healthSchema,
  clock: clockSchema,
  lacks: lacksSchema,
});
type Member = z.output<typeof memberSchema>;

const poolSchema = z
  .object({
    policy: z.enum(POLICY_NAMES),
    nodes: z.array(memberSchema),
    total: z.object({
      nodes: z.number(),
      serving: z.number(),
      claimedUnits: z.number().nullable(),
      effectiveUnits: z.number().describe('Of all serving nodes.'),
      liveCalls: z.number(),
      rooms: z.number(),
      registrations: z.number(),
      sessions: z.number(),
    }),
    recommendation: z.object({
      action: z.enum(['grow', 'shrink', 'keep']),
      count: z.number(),
      nodes: z.array(z.string()),
      why: z.string(),
      utilisationPercent: z.number().nullable(),
      servingNodes: z.number(),
      targetPercent: z.number(),
    }),
  })
  .meta({ id: 'Pool' });

interface Snapshot {
  rows: NodeRow[];
  views: Map<string, NodeView>;
  /** Undefined while Redis is away. */
  claimsKnown: boolean;
  business: Map<string, NodeBusiness>;
}

async function readSnapshot(deps: PoolRouteDeps): Promise<Snapshot> {
  const [rows, business, views] = await Promise.all([
    listNodeRows(deps.db),
    countBusiness(deps.db),
    deps.pool.readExactly().catch(() => undefined),
  ]);
  const known = new Map((views ?? []).map((v) => [v.id, v]));
  return {
    rows,
    views: new Map(rows.map((row) => [row.id, known.get(row.id) ?? viewNode(row, 0)])),
    claimsKnown: views !== undefined,
    business,
  };
}

function presentMember(snapshot: Snapshot, row: NodeRow, nowMs: number, limitMs: number): Member {
  const view = snapshot.views.get(row.id)!;
  const { liveCalls, liveLegs, rooms, registrations } = businessOf(snapshot.business, row.id);
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    silent: row.state === 'serving' && nowMs - (row.reported_at?.getTime() ?? 0) > limitMs,
    saturated: view.saturated ?? null,
    downReason: row.down_reason,
    connectionFault: presentConnectionFault(row),
    zone: row.zone,
    version: row.version,
    sessions: row.session_count,
    maxSessions: row.max_sessions,
    idleCpuPercent: Number(row.idle_cpu_percent),
    claimedUnits: snapshot.claimsKnown ? view.claimedUnits : null,
    capacityUnits: Number(row.capacity_units),
    effectiveUnits: Math.round(10 * Number(row.effective_units ?? row.capacity_units)) / 10,
    liveCalls,
    liveLegs,
    rooms,
    registrations,
    drainDeadlineAt: row.drain_deadline_at?.toISOString() ?? null,
    reportedAt: row.reported_at?.toISOString() ?? null,
    downSince: row.down_since?.toISOString() ?? null,
    health: presentHealth(row),
    clock: presentClock(row.clock),
    lacks: presentLacks(row.missing_modules),
  };
}

function totalOf(members: readonly Member[]): z.output<typeof poolSchema>['total'] {
  const serving = members.filter((m) => m.state === 'serving' && !m.silent && m.health.healthy);
  const sum = (list: readonly Member[], read: (m: Member) => number): number =>
    Math.round(10 * list.reduce((total, m) => total + read(m), 0)) / 10;
  return {
    nodes: members.length,
    serving: serving.length,
    claimedUnits: members.some((m) => m.claimedUnits === null) ? null : sum(members, (m) => m.claimedUnits ?? 0),
    effectiveUnits: sum(serving, (m) => m.effectiveUnits),
    liveCalls: sum(members, (m) => m.liveCalls),
    rooms: sum(members, (m) => m.rooms),
    registrations: sum(members, (m) => m.registrations),
    sessions: sum(members, (m) => m.sessions),
  };
}

export function poolRoutes(deps: PoolRouteDeps): Route[] {
  return [snapshotRoute(deps), whatIfRoute(deps)];
}

function snapshotRoute(deps: PoolRouteDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/pool',
    tag: 'Nodes',
    summary: 'Read the pool: nodes, load, and whether it should grow or shrink',
    scope: 'admin',
    query: z.strictObject({
      target: z.coerce.number().min(10).max(90).default(SCALING.targetPercent).describe('percent of capacity in use'),
      min: z.coerce.number().int().min(0).max(10_000).default(1),
      max: z.coerce.number().int().min(1).max(10_000).optional(),
    }),
    answers: { 200: poolSchema },
    handle: async ({ query }) => {
      const snapshot = await readSnapshot(deps);
      const nowMs = deps.now();
      const nodes = snapshot.rows.map((row) => presentMember(snapshot, row, nowMs, deps.reportLimitMs));
      const goal = { targetPercent: query.target, minNodes: query.min, maxNodes: query.max ?? null };
      const recommendation = { ...adviseScaling(nodes, goal), targetPercent: query.target };
      return { body: { policy: deps.policy, nodes, total: totalOf(nodes), recommendation } };
    },
  });
}

const placedSchema = z.object({ asked: z.number(), placed: z.number(), notPlaced: z.number() });

function whatIfRoute(deps: PoolRouteDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/pool/simulate',
    tag: 'Nodes',
    summary: 'Simulate: nodes removed or added, more calls, more rooms',
    description:
      'Runs the placement on a copy of the current pool. Nothing is changed. The load of a removed node must ' +
      'fit elsewhere first. The same request for the same pool gets the same response.',
    scope: 'admin',
    body: z.strictObject({
      remove: z
        .union([z.string().max(64), z.array(z.string().max(64)).max(1000)])
        .default([])
        .describe('names or ids of nodes'),
      add: z.number().int().min(0).max(1000).default(0),
      addedUnits: z.number().min(1).max(1_000_000).default(100),
      calls: z.number().int().min(0).max(1_000_000).default(0),
      rooms: z.number().int().min(0).max(100_000).default(0),
      room: z
        .strictObject({
          participants: z.number().int().min(1).max(1000).default(4),
          video: z.enum(['none', 'passed', 'mixed']).default('mixed'),
          width: z.number().int().min(16).max(3840).default(1280),
          height: z.number().int().min(16).max(2160).default(720),
          fps: z.number().int().min(1).max(60).default(15),
        })
        .prefault({}),
      policy: z.enum(POLICY_NAMES).optional(),
    }),
    errors: ['unprocessable'],
    answers: {
      200: z.object({
        nodes: z.array(
          z.object({
            node: z.string(),
            change: z.enum(['none', 'removed', 'added']),
            calls: z.number(),
            rooms: z.number(),
            unitsBefore: z.number(),
            unitsAfter: z.number(),
            capacityUnits: z.number(),
          }),
        ),
        movedCalls: placedSchema,
        movedRooms: placedSchema,
        calls: placedSchema,
        rooms: placedSchema,
        utilisationPercent: z.object({ before: z.number().nullable(), after: z.number().nullable() }),
        explanation: z.array(z.string()),
      }),
    },
    handle: async ({ body }) => {
      const snapshot = await readSnapshot(deps);
      if (!snapshot.claimsKnown)
        throw new SwitchyardError('unavailable', 'Claimed capacity is unknown while Redis is unavailable.');
      const remove = [body.remove].flat().map((wanted) => {
        const row = snapshot.rows.find((r) => r.id === wanted || r.name === wanted);
        if (!row) throw new SwitchyardError('unprocessable', `No such node: "${wanted}".`);
        return row.id;
      });
      const pool = snapshot.rows.map((row) => {
        const { liveCalls, rooms, roomUnits: units } = businessOf(snapshot.business, row.id);
        return { view: snapshot.views.get(row.id)!, liveCalls, rooms, roomUnits: units };
      });
      const { participants, video, ...canvas } = body.room;
      const { reportLimitMs, minIdleCpuPercent } = deps;
      const asked = {
        ...body,
        remove,
        unitsPerRoom: roomUnits({ video, canvas, withVideo: participants, withoutVideo: 0 }),
        policy: body.policy ?? deps.policy,
        reportLimitMs,
        minIdleCpuPercent,
      };
      return { body: runWhatIf(pool, asked, deps.now(), createSeededRandom(WHAT_IF_SEED)) };
    },
  });
}
