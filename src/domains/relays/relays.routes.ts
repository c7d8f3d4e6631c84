/** The REST of relays: schemas that validate and document, and nothing else. */
import { z } from 'zod';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { defineRoute, type Route } from '../../infra/route';
import { storeClock } from '../../infra/store-clock';
import { plainText } from '../../infra/text/plain-text';
import { createRelay, presentRelay, requireRelay, stopRelay, type RelayActions } from './relays';
import { listRelayRows } from './relays.store';
import { instant } from '../../infra/text/instants';

const state = z.enum(['waiting', 'checking', 'starting', 'live', 'restarting', 'stopping', 'stopped', 'failed']);
const relaySchema = z
  .object({
    id: z.uuid(),
    domain: z.string(),
    roomId: z.uuid(),
    room: z.string(),
    name: z.string(),
    url: z.string().describe('Without the stream key, which is never returned.'),
    state: state.describe('`waiting`: for the room to be live. `restarting`: see nextTryAt and lastFault.'),
    desired: z.enum(['live', 'stopped']),
    sessionId: z.uuid().nullable(),
    node: z.string().nullable(),
    restarts: z.number().int(),
    maxRestarts: z.number().int(),
    nextTryAt: instant,
    lastFault: z.string().nullable(),
    gaps: z
      .array(z.object({ from: z.iso.datetime(), to: instant, reason: z.string() }))
      .describe('When the target received nothing although the room was live; the last 100.'),
    gapSeconds: z.number(),
    bytesSent: z.number().describe('Bytes accepted by the target.'),
    flowedAt: instant.describe('When the target last accepted data.'),
    createdAt: z.iso.datetime(),
    firstLiveAt: instant,
    liveSince: instant,
    endedAt: instant,
  })
  .meta({ id: 'Relay' });

const idParams = z.object({ id: z.uuid() });
const one = { tag: 'Relays', scope: 'domain', params: idParams } as const;

export function relayRoutes(deps: RelayActions): Route[] {
  const show = (row: Parameters<typeof presentRelay>[0]) => presentRelay(row, storeClock.now());
  return [
    defineRoute({
      ...one,
      method: 'post',
      path: '/v1/rooms/{id}/relays',
      summary: 'Relay a room to an RTMP address',
      description:
        'Sends the mixed video and audio. The target is checked first: its port must be allowed (1935, 443 and 80, unless the operator has ' +
        'set others), its name must resolve to public addresses outside the pool, and it must complete the RTMP handshake. A ' +
        'target that fails is rejected after some seconds, without the reason. If the room is not live, the relay ' +
        'waits for it; if the room moves, its relays move with it.',
      body: z.strictObject({
        url: z
          .string()
          .min(1)
          .max(1024)
          .describe('rtmp(s)://host[:port]/app; without streamKey, the last part of the path is the key.'),
        streamKey: z.string().min(1).max(512).optional().describe('Stored encrypted, never returned.'),
        name: plainText({ max: 128 }).default(''),
        maxRestarts: z
          .number()
          .int()
          .min(0)
          .max(1000)
          .default(20)
          .describe('Retries in a row before it fails. Resets after one minute live.'),
      }),
      answers: { 201: relaySchema },
      errors: ['not_found', 'unprocessable', 'conflict', 'feature_missing', 'quota_exceeded'],
      handle: async ({ params, body, caller }) => {
        const made = await createRelay(deps, params.id, caller, body);
        return { status: 201, body: show(made), headers: { Location: `/v1/relays/${made.id}` } };
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/relays',
      tag: 'Relays',
      scope: 'domain',
      summary: 'List relays, newest first',
      query: z.strictObject({
        domain: z.string().max(253).optional(),
        roomId: z.uuid().optional(),
        state: state.optional(),
        ...pageQuery,
      }),
      answers: { 200: pageOf(relaySchema) },
      handle: async ({ query, caller }) => {
        const before = readCursor(query.cursor);
        const domain = query.domain ? await deps.findDomain(query.domain, caller) : undefined;
        const rows = await listRelayRows(deps.db, {
          domainId: domain?.id ?? caller.domainId ?? undefined,
          roomId: query.roomId,
          state: query.state,
          before,
          limit: query.limit + 1,
        });
        return { body: makePage(rows, query.limit, show) };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      path: '/v1/relays/{id}',
      summary: 'Read a relay with restarts and gaps',
      answers: { 200: relaySchema },
      handle: async ({ params, caller }) => ({ body: show(await requireRelay(deps.db, params.id, caller.domainId)) }),
    }),
    ...(['post', 'delete'] as const).map((method) =>
      defineRoute({
        ...one,
        method,
        path: method === 'post' ? '/v1/relays/{id}/stop' : '/v1/relays/{id}',
        summary: method === 'post' ? 'Stop a relay' : 'Stop a relay; it stays readable',
        answers: { 200: relaySchema },
        handle: async ({ params, caller }) => ({
          body: show(await stopRelay(deps, await requireRelay(deps.db, params.id, caller.domainId))),
        }),
      }),
    ),
  ];
}
