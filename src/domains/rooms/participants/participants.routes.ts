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

export const roomState = z.object({
  room: z.string(),
  session: liveSessionSchema.nullable().describe('null: nobody is in the room.'),
  items: z.array(participantSchema),
});

const volume = z.int().min(-4).max(4);
const patch = z
  .strictObject({
    role: z
      .enum(['moderator', 'participant'])
      .optional()
      .describe('What the node allows them follows at their next entry.'),
    muted: z.boolean().optional(),
    videoMuted: z.boolean().optional(),
    deaf: z.boolean().optional(),
    volumeIn: volume.optional().describe('What is heard of them.'),
    volumeOut: volume.optional().describe('What they hear.'),
    layer: z
      .int()
      .min(1)
      .max(64)
      .nullable()
      .optional()
      .describe('Which video of the layout is theirs; whoever had it gives it up. null: any.'),
    reservation: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, 'must be 1 to 32 of A-Z a-z 0-9 _ -')
      .nullable()
      .optional()
      .describe(
        'A place that the layout keeps under this name; whoever had it gives it up. While the layout has none of that ' +
          'name they are not shown. A layer or a reservation: the last one counts.',
      ),
    banner: plainText({ min: 1, max: 64 }).nullable().optional().describe('Text under their video.'),
    maxVideoKbps: z
      .int()
      .min(64)
      .max(20_000)
      .nullable()
      .optional()
      .describe(
        'Of the mixed video they are sent, at most: 64, 96, 128, 192, 256 … are what a node makes of it. What they send ' +
          "follows at their next entry. null: as the room's settings say.",
      ),
  })
  .refine((b) => b.layer == null || b.reservation == null, 'either a layer or a reservation');

export function participantRoutes(deps: ControlDeps): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/rooms/{id}/participants',
      tag: 'Live rooms',
      summary: 'Who is in the room',
      description: 'With what is desired for each of them beside what was seen, and the session they are in.',
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
      summary: 'Change what is desired for a participant',
      description:
        'Answers when the node was seen to have done it, or after a second with what is `pending`. It is brought about ' +
        'again when it differs: after they come back, or when the room moves. What the node does not do in five tries is ' +
        'told by the event participant.change_failed.',
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
      summary: 'Remove somebody from the room',
      description: 'Hangs up. They can come back unless the room is locked.',
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
      summary: 'Move somebody to another room',
      description: 'Also into one that is locked or full, and on another node. They are a new participant there.',
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
      summary: 'Mute everybody but the moderators',
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
