/** The REST of rooms as they should be, and of the sessions they had. */
import { z } from 'zod';
import { anyDialledName } from '../../infra/text/dialled-name';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { defineRoute, type Route } from '../../infra/route';
import { domainReference, requireDomain } from '../domains/domains';
import { listNodeRows } from '../nodes/nodes.store';
import { changeRoom } from './update-room';
import {
  changedRoomSchema,
  createRoom,
  removeRoom,
  roomFields,
  roomName,
  roomSchema,
  presentRoom,
  type RoomsDeps,
} from './rooms';
import { listRoomRows } from './rooms.store';
import { listSessionRows, SESSION_ENDS, type SessionRow } from './sessions/sessions.store';
import { requireRoom } from './require-room';

const all = { path: '/v1/rooms', tag: 'Rooms', scope: 'domain' } as const;
const one = { path: '/v1/rooms/{id}', tag: 'Rooms', scope: 'domain', params: z.object({ id: z.uuid() }) } as const;

const sessionSchema = z
  .object({
    id: z.uuid(),
    roomId: z.uuid(),
    meetingId: z.uuid().describe('The first session of this chain of moves between nodes.'),
    node: z.string().nullable(),
    epoch: z.int(),
    state: z.enum(['opening', 'live', 'ended']),
    openedAt: z.iso.datetime(),
    startedAt: z.iso.datetime().nullable(),
    endedAt: z.iso.datetime().nullable(),
    endReason: z.enum(SESSION_ENDS).nullable(),
  })
  .meta({ id: 'Session' });

function presentSession(row: SessionRow, nodeNames: ReadonlyMap<string, string>): z.output<typeof sessionSchema> {
  return {
    id: row.id,
    roomId: row.room_id,
    meetingId: row.meeting_id,
    node: (row.node_id && nodeNames.get(row.node_id)) || null,
    epoch: Number(row.epoch),
    state: row.state,
    openedAt: row.opened_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
    endReason: row.end_reason,
  };
}

export function roomsRoutes(deps: RoomsDeps): Route[] {
  return [
    defineRoute({
      ...all,
      method: 'post',
      summary: 'Create a room',
      body: z.object({ domain: domainReference.optional(), name: roomName, ...roomFields }),
      answers: { 201: roomSchema },
      errors: ['conflict', 'not_found', 'unprocessable', 'quota_exceeded'],
      handle: async ({ body, caller }) => {
        const room = await createRoom(deps, caller, body);
        return { status: 201, body: room, headers: { Location: `/v1/rooms/${room.id}` } };
      },
    }),
    defineRoute({
      ...all,
      method: 'get',
      summary: 'List rooms',
      query: z.object({
        ...pageQuery,
        domain: domainReference.optional().describe('Only rooms of this domain (name or id).'),
        name: anyDialledName.optional().describe('Only the room of this name.'),
      }),
      answers: { 200: pageOf(roomSchema) },
      errors: ['not_found'],
      handle: async ({ query, caller }) => {
        const after = readCursor(query.cursor);
        const named = query.domain !== undefined || caller.domainId !== null;
        const domain = named ? await requireDomain(deps.db, caller, query.domain) : undefined;
        const { limit, name } = query;
        const rows = await listRoomRows(deps.db, { domainId: domain?.id, name, after, limit });
        return { body: makePage(rows, limit, (row) => presentRoom(deps.secretKey, row)) };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      summary: 'Read a room',
      answers: { 200: roomSchema },
      handle: async ({ params, caller }) => ({
        body: presentRoom(deps.secretKey, await requireRoom(deps.db, caller, params.id)),
      }),
    }),
    defineRoute({
      ...one,
      method: 'patch',
      summary: 'Change a room',
      description:
        'The current session adopts at once what its node can change; `pending` lists the settings that ' +
        "wait for the next session. The name can't be changed.",
      body: z.object(roomFields),
      answers: { 200: changedRoomSchema },
      errors: ['unprocessable'],
      handle: async ({ params, body, caller }) => ({
        body: await changeRoom(deps, await requireRoom(deps.db, caller, params.id), body),
      }),
    }),
    defineRoute({
      ...one,
      method: 'delete',
      summary: 'Delete a room',
      description: 'Refused while a session is live; `force=true` ends it for everybody.',
      query: z.object({ force: z.enum(['true', 'false']).default('false') }),
      answers: { 204: null },
      errors: ['conflict'],
      handle: async ({ params, query, caller }) => {
        await removeRoom(deps, await requireRoom(deps.db, caller, params.id), query.force === 'true');
        return { status: 204 };
      },
    }),
    defineRoute({
      ...one,
      path: '/v1/rooms/{id}/sessions',
      method: 'get',
      summary: 'List the sessions of a room',
      description: 'Newest first.',
      query: z.object(pageQuery),
      answers: { 200: pageOf(sessionSchema) },
      handle: async ({ params, query, caller }) => {
        const room = await requireRoom(deps.db, caller, params.id);
        const before = readCursor(query.cursor);
        const { limit } = query;
        const rows = await listSessionRows(deps.db, { roomId: room.id, before, limit: limit + 1 });
        const names = new Map((await listNodeRows(deps.db)).map((node) => [node.id, node.name]));
        return { body: makePage(rows, limit, (row) => presentSession(row, names)) };
      },
    }),
  ];
}
