/** The REST of nodes and of the pool as a whole. */
import { z } from 'zod';
import { nameTaken, SwitchyardError } from '../../errors';
import { hostAddress } from '../../infra/text/host-address';
import { createId } from '../../infra/ids';
import { defineRoute, type Route } from '../../infra/route';
import { createSecret, hashSecret } from '../../infra/secrets';
import { POOL_STREAM } from '../events/events.store';
import type { Claims } from './capacity/claims';
import { connectionFaultSchema, presentConnectionFault } from './connections/connection-fault';
import { clockSchema, presentClock } from './clock/present';
import { refuseAddress, type AddressRules } from './entering/address-guard';
import { refuseMixed } from './entering/one-family';
import { NODE_NAME } from './entering/admission';
import { nodeTokenRoutes } from './entering/node-tokens.routes';
import { healthSchema } from './health/health.routes';
import { lacksSchema, presentLacks } from './features/present';
import { presentHealth } from './health/health';
import { makeNodePassword } from './entering/node-password';
import { drainNode, removeNode, resumeNode, type NodeDeps } from './nodes';
import {
  countLiveCalls,
  findNode,
  insertNode,
  listNodeRows,
  NODE_STATES,
  signalUrl,
  type NodeRow,
} from './nodes.store';

export interface NodeRouteDeps extends NodeDeps {
  rules: AddressRules;
  claims: Claims;
  now: () => number;
}

const nodeSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    state: z.enum(NODE_STATES),
    downReason: z.string().nullable(),
    connectionFault: connectionFaultSchema,
    version: z.string().nullable().describe("FreeSWITCH's version, from its reports"),
    zone: z.string(),
    host: z.string(),
    eslPort: z.number(),
    sipPort: z.number(),
    internodePort: z.number(),
    wsPort: z.number(),
    wsUrl: z.string(),
    capacityUnits: z.number().describe('The declared capacity.'),
    effectiveUnits: z
      .number()
      .describe('Capacity used for placement: the declared one, corrected by reported idle CPU.'),
    claimedUnits: z.number().nullable().describe('null while Redis is unavailable'),
    liveCalls: z.number(),
    sessionCount: z.number(),
    maxSessions: z.number(),
    idleCpuPercent: z.number(),
    reportedAt: z.iso.datetime().nullable(),
    downSince: z.iso.datetime().nullable(),
    drainDeadlineAt: z.iso.datetime().nullable(),
    refusesPhones: z.boolean().describe('It is draining, and its phones move to other nodes.'),
    health: healthSchema,
    clock: clockSchema,
    lacks: lacksSchema,
  })
  .meta({ id: 'Node' });

const port = z.number().int().min(1).max(65535);
const idParams = z.object({ id: z.uuid() });

function presentNode(row: NodeRow, claimedUnits: number | null, liveCalls: number): z.output<typeof nodeSchema> {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    downReason: row.down_reason,
    connectionFault: presentConnectionFault(row),
    version: row.version,
    zone: row.zone,
    host: row.host,
    eslPort: row.esl_port,
    sipPort: row.sip_port,
    internodePort: row.internode_port,
    wsPort: row.ws_port,
    wsUrl: signalUrl(row),
    capacityUnits: Number(row.capacity_units),
    effectiveUnits: Number(row.effective_units ?? row.capacity_units),
    claimedUnits,
    liveCalls,
    sessionCount: row.session_count,
    maxSessions: row.max_sessions,
    idleCpuPercent: Number(row.idle_cpu_percent),
    reportedAt: row.reported_at?.toISOString() ?? null,
    downSince: row.down_since?.toISOString() ?? null,
    drainDeadlineAt: row.drain_deadline_at?.toISOString() ?? null,
    refusesPhones: row.phones_refused,
    health: presentHealth(row),
    clock: presentClock(row.clock),
    lacks: presentLacks(row.missing_modules),
  };
}

async function presentNodes(deps: NodeRouteDeps, rows: NodeRow[]): Promise<z.output<typeof nodeSchema>[]> {
  const ids = rows.map((r) => r.id);
  const [live, totals] = await Promise.all([
    countLiveCalls(deps.db),
    deps.claims.readTotals(ids, deps.now()).catch(() => undefined),
  ]);
  return rows.map((row, i) => presentNode(row, totals?.[i] ?? null, live.get(row.id) ?? 0));
}

async function presentNodeById(deps: NodeRouteDeps, id: string): Promise<z.output<typeof nodeSchema>> {
  const row = await findNode(deps.db, id);
  if (!row) throw new SwitchyardError('not_found', 'No such node.');
  return (await presentNodes(deps, [row]))[0]!;
}

export function nodeRoutes(deps: NodeRouteDeps): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/nodes',
      tag: 'Nodes',
      summary: 'List the nodes of the pool',
      scope: 'admin',
      answers: { 200: z.object({ items: z.array(nodeSchema), nextCursor: z.null() }) },
      handle: async () => ({
        body: { items: await presentNodes(deps, await listNodeRows(deps.db)), nextCursor: null },
      }),
    }),
    defineRoute({
      method: 'get',
      path: '/v1/nodes/{id}',
      tag: 'Nodes',
      summary: 'Read a node',
      scope: 'admin',
      params: idParams,
      answers: { 200: nodeSchema },
      handle: async ({ params }) => ({ body: await presentNodeById(deps, params.id) }),
    }),
    registerRoute(deps),
    ...nodeTokenRoutes({ ...deps, nodeSchema, show: (id) => presentNodeById(deps, id) }),
    defineRoute({
      method: 'post',
      path: '/v1/nodes/{id}/drain',
      tag: 'Nodes',
      summary: 'Drain a node: no new calls, running ones continue',
      description:
        'At the deadline rooms move to other nodes, with everybody in them. Calls are never cut off: they continue ' +
        'until they end, and only then can the node be removed. Draining again resets the deadline. Its phones are released ' +
        'while another node serves: the event `registration.move_requested` makes pages request `GET /v1/grants/self`. ' +
        'Telephones get registrations of one minute, and once the node has no rooms left every new request of theirs (REGISTER, ' +
        'INVITE, OPTIONS) gets 503, so that they try their next server. Until then they still ring here. `"phones": "keep"` is for telephones that know only this node.',
      scope: 'admin',
      params: idParams,
      body: z.strictObject({
        deadlineSeconds: z.number().int().min(0).max(86_400).default(3600),
        phones: z.enum(['move', 'keep']).default('move'),
      }),
      answers: { 200: nodeSchema },
      errors: ['conflict'],
      handle: async ({ params, body }) => {
        await drainNode(deps, params.id, body.deadlineSeconds, body.phones);
        return { body: await presentNodeById(deps, params.id) };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/v1/nodes/{id}/resume',
      tag: 'Nodes',
      summary: 'Resume a draining node',
      scope: 'admin',
      params: idParams,
      answers: { 200: nodeSchema },
      errors: ['conflict'],
      handle: async ({ params }) => {
        await resumeNode(deps, params.id);
        return { body: await presentNodeById(deps, params.id) };
      },
    }),
    defineRoute({
      method: 'delete',
      path: '/v1/nodes/{id}',
      tag: 'Nodes',
      summary: 'Remove a drained or down node without live calls and rooms',
      description:
        "Refused while phones are registered at it: they couldn't be called until they register elsewhere. `force=true` removes it " +
        'with its phones, but never with calls, rooms or recordings that are not uploaded.',
      scope: 'admin',
      params: idParams,
      query: z.object({
        force: z.enum(['true', 'false']).default('false').describe('even with phones registered at it'),
      }),
      answers: { 204: null },
      errors: ['conflict'],
      handle: async ({ params, query }) => {
        await removeNode(deps, params.id, query.force === 'true');
        return { status: 204 };
      },
    }),
  ];
}

/** Nodes enter by a token; this is for an operator who hands out a name and its secret beforehand instead. */
function registerRoute(deps: NodeRouteDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/nodes',
    tag: 'Nodes',
    summary: 'Register a node in advance (returns its credentials, once)',
    scope: 'admin',
    body: z.strictObject({
      name: z.string().regex(NODE_NAME),
      host: hostAddress,
      eslPort: port.default(8021),
      sipPort: port.default(5060),
      internodePort: port.default(5080),
      wsPort: port.default(5066),
      wsUrl: z.url({ protocol: /^wss?$/ }).optional(),
      zone: z
        .string()
        .regex(/^[A-Za-z0-9._-]{0,64}$/)
        .default(''),
      capacityUnits: z.number().min(1).max(1_000_000).default(100),
    }),
    answers: {
      201: z.object({ node: nodeSchema, credentials: z.object({ username: z.string(), password: z.string() }) }),
    },
    errors: ['conflict', 'unprocessable'],
    handle: async ({ body }) => {
      const { name, ...address } = body;
      const why = refuseAddress({ ...address, wsUrl: body.wsUrl ?? null }, deps.rules);
      if (why) throw new SwitchyardError('unprocessable', `The node's address: ${why}.`);
      const id = createId();
      const secret = createSecret();
      await deps.log.record(async (trx, emit) => {
        const mixed = await refuseMixed(trx, { notName: name, host: body.host });
        if (mixed) throw new SwitchyardError('conflict', mixed);
        const row = await insertNode(trx, {
          id,
          name,
          secret_hash: hashSecret(secret),
          esl_password_sealed: makeNodePassword(deps.secretKey, id),
          host: body.host,
          esl_port: body.eslPort,
          sip_port: body.sipPort,
          internode_port: body.internodePort,
          ws_port: body.wsPort,
          ws_url: body.wsUrl ?? null,
          zone: body.zone,
          capacity_units: String(body.capacityUnits),
          state: 'joining',
        });
        if (!row) throw nameTaken('node', body.name);
        emit({ stream: POOL_STREAM, type: 'node.joining', nodeId: id, data: { name: body.name, host: body.host } });
      });
      const credentials = { username: name, password: secret };
      return { status: 201, body: { node: await presentNodeById(deps, id), credentials } };
    },
  });
}
