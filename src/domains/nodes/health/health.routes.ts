/** The REST of a node's health: what was seen of it, and a synthetic call on demand. */
import { z } from 'zod';
import { defineRoute, type Route } from '../../../infra/route';
import type { CanaryResult } from './health';

const canarySchema = z.object({
  at: z.iso.datetime(),
  ok: z.boolean(),
  heard: z.boolean().describe("One leg heard the other's tone through the mixer."),
  recorded: z.boolean().describe("The room's own recording holds the tone."),
  setupMs: z.number().nullable().describe('From the first command until both legs were in the room.'),
  mixedMs: z.number().nullable().describe('From then until the tone was in what the other leg heard.'),
  levelDb: z.number().nullable().describe('Loudness of what was heard; 0 is the loudest there can be.'),
  tookMs: z.number(),
  failure: z.string().nullable(),
});

export const healthSchema = z.object({
  healthy: z.boolean().describe('false: it gets no new calls and rooms; those that run go on.'),
  reason: z.string().nullable(),
  since: z.iso.datetime().nullable().describe('of the last change; null where there was none'),
  conferenceMs: z.number().nullable().describe('How long the last conference command took; null: it failed.'),
  webSocket: z
    .enum(['open', 'closed', 'none'])
    .nullable()
    .describe('none: the node has no port of its own for browsers.'),
  checkedAt: z.iso.datetime().nullable().describe('Looked at every few seconds, written down twice a minute.'),
  canary: canarySchema.nullable().describe('The last synthetic call; null: there was none yet.'),
});

export interface HealthRouteDeps {
  /** @throws not_found, conflict where one is under way or the node is too full, node_unreachable */
  runCanary: (nodeId: string) => Promise<CanaryResult>;
}

export function healthRoutes(deps: HealthRouteDeps): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/nodes/{id}/canary',
      tag: 'Nodes',
      summary: 'Make a synthetic call on a node now: does it mix, record, and is it heard',
      description:
        'Two legs of the node itself meet in a room of their own; one plays a tone, and it is looked for in what the other ' +
        'hears and in the recording of the room. It takes about two seconds and is no call of any domain. A node that ' +
        'fails gets no new calls until it passes.',
      scope: 'admin',
      params: z.object({ id: z.uuid() }),
      answers: { 200: canarySchema },
      handle: async ({ params }) => ({ body: await deps.runCanary(params.id) }),
    }),
  ];
}
