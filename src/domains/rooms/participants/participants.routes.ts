/** The REST of those in a room. */
import { z } from 'zod';
import { plainText } from '../../../infra/text/plain-text';
import { defineRoute, type Route } from '../../../infra/route';
import { liveSessionSchema, participantSchema } from './view';
import { lowerHand, raiseHand } from '../control/room';
import {
  changeParticipant,
  moveParticipant,
  muteAll,
  removeParticipant,
  requireParticipant,
  presentParticipantNow,
  presentRoomState,
  type ControlDeps,
} from '../control/participants';
import { requireRoom } from '../require-room';

export const roomParams = z.object({ id: z.uuid() });
const oneParams = z.object({ id: z.uuid(), pid: z.uuid() });
const one = {
  path: '/v1/rooms/{id}/participants/{pid}',
  tag: 'Live rooms',
  scope: 'domain',
  params: oneParams,
} as const;

const roomState = z.object({
  room: z.string(),
  session: liveSessionSchema.nullable().describe('null: nobody is in the room.'),
  items: z.array(participantSchema),
});

const volume = z.int().min(-4).max(4);
const patch = z
  .strictObject({
    role: z.enum(['moderator', 'participant']).optional().describe('Permissions on the node change at the next join.'),
    muted: z.boolean().optional(),
    videoMuted: z.boolean().optional(),
    deaf: z.boolean().optional(),
    volumeIn: volume.optional().describe('Volume of their voice for others.'),
    volumeOut: volume.optional().describe('Volume of what they hear.'),
    layer: z
      .int()
      .min(1)
      .max(64)
      .nullable()
      .optional()
      .describe('Their tile in the layout; its previous holder loses it. null: any.'),
    reservation: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, 'must be 1 to 32 of A-Z a-z 0-9 _ -')
      .nullable()
      .optional()
      .describe(
        'A tile that the layout reserves under this name; its previous holder loses it. While the layout has none of this ' +
          'name the participant is not shown. Of layer and reservation the last one set counts.',
      ),
    banner: plainText({ min: 1, max: 64 }).nullable().optional().describe('Caption of their tile.'),
    maxVideoKbps: z
      .int()
      .min(64)
      .max(20_000)
      .nullable()
      .optional()
      .describe(
        'Maximum bandwidth of the mixed video they receive: a node uses 64, 96, 128, 192, 256 … What they send ' +
          "changes at their next join. null: as in the room's settings.",
      ),
  })
  .refine((b) => b.layer == null || b.reservation == null, 'set either a layer or a reservation');

export function participantRoutes(deps: ControlDeps): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/rooms/{id}/participants',
      tag: 'Live rooms',
      summary: 'List participants',
      description: 'With desired and observed state of each, and their session.',
      scope: 'domain',
      params: roomParams,
      answers: { 200: roomState },
      handle: async ({ params, caller }) => ({
        body: await presentRoomState(deps, await requireRoom(deps.db, caller, params.id)),
      }),
    }),
    defineRoute({
      ...one,
      method: 'get',
      summary: 'Read a participant',
      answers: { 200: participantSchema },
      handle: async ({ params, caller }) => {
        const room = await requireRoom(deps.db, caller, params.id);
        return { body: await presentParticipantNow(deps, await requireParticipant(deps, room, params.pid)) };
      },
    }),
    defineRoute({
      ...one,
      method: 'patch',
      summary: 'Change a participant',
      description:
        'Returns once the node confirmed it, or after a second with `pending`. Re-applied ' +
        'after a rejoin or a move. After five failed tries the failure is reported ' +
        'by the event participant.change_failed.',
      body: patch,
      answers: { 200: participantSchema },
      errors: ['conflict'],
      handle: async ({ params, body, caller }) => {
        const room = await requireRoom(deps.db, caller, params.id);
        return { body: await changeParticipant(deps, room, params.pid, body) };
      },
    }),
    defineRoute({
      ...one,
      method: 'delete',
      summary: 'Remove a participant from the room',
      description: 'Hangs up. The participant can come back unless the room is locked.',
      answers: { 204: null },
      errors: ['conflict'],
      handle: async ({ params, caller }) => {
        await removeParticipant(deps, await requireRoom(deps.db, caller, params.id), params.pid);
        return { status: 204 };
      },
    }),
    defineRoute({
      ...one,
      method: 'post',
      path: '/v1/rooms/{id}/participants/{pid}/move',
      summary: 'Move a participant to another room',
      description: 'Also into a locked or full room, and to another node. They are a new participant there.',
      body: z.strictObject({
        room: plainText({ min: 1, max: 64 }).describe("A room's name or id, of the same domain."),
      }),
      answers: { 200: z.object({ room: z.string(), roomId: z.uuid() }) },
      errors: ['conflict', 'unprocessable', 'node_error'],
      handle: async ({ params, body, caller }) => {
        const room = await requireRoom(deps.db, caller, params.id);
        return { body: await moveParticipant(deps, room, params.pid, body.room) };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/v1/rooms/{id}/mute-all',
      tag: 'Live rooms',
      summary: 'Mute everybody except moderators',
      scope: 'domain',
      params: roomParams,
      body: z.strictObject({}),
      answers: { 200: roomState },
      errors: ['conflict'],
      handle: async ({ params, caller }) => ({
        body: await muteAll(deps, await requireRoom(deps.db, caller, params.id)),
      }),
    }),
    defineRoute({
      ...one,
      method: 'post',
      path: '/v1/rooms/{id}/participants/{pid}/hand',
      summary: 'Raise a hand',
      body: z.strictObject({}),
      answers: { 200: participantSchema },
      errors: ['conflict'],
      handle: async ({ params, caller }) => ({
        body: await raiseHand(deps, await requireRoom(deps.db, caller, params.id), params.pid),
      }),
    }),
    defineRoute({
      ...one,
      method: 'delete',
      path: '/v1/rooms/{id}/participants/{pid}/hand',
      summary: 'Lower a hand',
      answers: { 200: participantSchema },
      handle: async ({ params, caller }) => ({
        body: await lowerHand(deps, await requireRoom(deps.db, caller, params.id), params.pid),
      }),
    }),
  ];
}
