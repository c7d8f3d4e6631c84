/** The REST of a node's health: what was seen of it, and a synthetic call on demand. */
import { z } from 'zod';
import { defineRoute, type Route } from '../../../infra/route';
import type { CanaryResult } from './health';

const canarySchema = z.object({
  at: z.iso.datetime(),
  ok: z.boolean(),
  heard: z.boolean().describe("One leg received the other's tone through the mixer."),
  recorded: z.boolean().describe("The room's recording contains the tone."),
  setupMs: z.number().nullable().describe('From the first command until both legs were in the room.'),
  mixedMs: z.number().nullable().describe('From then until the other leg received the tone.'),
  levelDb: z.number().nullable().describe('Level of the received tone; 0 is the maximum.'),
  tookMs: z.number(),
  failure: z.string().nullable(),
});

export const healthSchema = z.object({
  healthy: z.boolean().describe('false: no new calls and rooms; running ones continue.'),
  reason: z.string().nullable(),
  since: z.iso.datetime().nullable().describe('when it last changed; null: never'),
  conferenceMs: z.number().nullable().describe('Duration of the last conference command; null: it failed.'),
  webSocket: z.enum(['open', 'closed', 'none']).nullable().describe('none: the node has no WebSocket port of its own.'),
  checkedAt: z.iso.datetime().nullable().describe('Checked every few seconds, stored twice a minute.'),
  canary: canarySchema.nullable().describe('The last synthetic call; null: none yet.'),
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
      summary: 'Run a synthetic call on a node now',
      description:
        'Checks mixing, recording and audio: two legs of the node meet in a room; one plays a tone, which must be in what the other ' +
        "receives and in the room's recording. It takes about two seconds and belongs to no domain. A node that " +
        'fails gets no new calls until it passes.',
      scope: 'admin',
      params: z.object({ id: z.uuid() }),
      answers: { 200: canarySchema },
      handle: async ({ params }) => ({ body: await deps.runCanary(params.id) }),
    }),
  ];
}
