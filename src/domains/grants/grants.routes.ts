/** The REST of grants. */
import { z } from 'zod';
import { SwitchyardError } from '../../errors';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { defineRoute, type Route } from '../../infra/route';
import { storeClock } from '../../infra/store-clock';
import { createRoomGrant, createUserGrant, locateSelf, requireUserOf, type GrantDeps, type MadeGrant } from './grants';
import { findGrant, listGrants } from './grants.store';
import { revokeGrant, type OverDeps } from './end-grants';
import { COME_BACK_HOURS, COME_BACK_SECONDS } from './lasting/come-back.store';
import { extendGrant, type ExtendDeps } from './lasting/extend-grant';
import {
  grantPatch,
  grantSchema,
  newGrantSchema,
  roomGrantBody,
  selfSchema,
  presentGrant,
  userGrantBody,
} from './grants.schemas';
import { requireRoom } from '../rooms/require-room';

const params = z.object({ id: z.uuid() });
const ofRoom = { path: '/v1/rooms/{id}/grants', tag: 'Grants', scope: 'domain', params } as const;
const ofUser = { path: '/v1/users/{id}/grants', tag: 'Grants', scope: 'domain', params } as const;
const one = { path: '/v1/grants/{id}', tag: 'Grants', scope: 'domain', params } as const;

const LIFE =
  'When it expires its registrations end, and nobody new can enter with it. People in the room stay, and can come back ' +
  `within ${COME_BACK_SECONDS} s of leaving while the meeting continues, for at most ${COME_BACK_HOURS} hours. People in a call stay until it ends.`;

const made = ({ view }: MadeGrant) => ({ status: 201, body: view, headers: { Location: `/v1/grants/${view.id}` } });

export function grantRoutes(deps: GrantDeps & OverDeps & ExtendDeps): Route[] {
  return [
    defineRoute({
      ...ofRoom,
      method: 'post',
      summary: 'Create a grant for a room',
      description:
        "For a browser or a guest. The response contains all that a page needs: the node (the room's, or the best one for a " +
        'new session), a SIP login and a token. Capacity is reserved for at most 20 seconds; later arrivals are admitted as well, ' +
        `perhaps over another node. The credentials are valid for this room only. ${LIFE}`,
      body: roomGrantBody,
      answers: { 201: newGrantSchema },
      errors: ['unprocessable', 'no_capacity', 'feature_missing', 'quota_exceeded'],
      handle: async ({ params, body, caller }) => made(await createRoomGrant(deps, caller, params.id, body)),
    }),
    defineRoute({
      ...ofRoom,
      method: 'get',
      summary: 'List the grants of a room',
      query: z.object(pageQuery),
      answers: { 200: pageOf(grantSchema) },
      handle: async ({ params, query, caller }) => {
        const room = await requireRoom(deps.db, caller, params.id);
        const page = { after: readCursor(query.cursor), limit: query.limit };
        const rows = await listGrants(deps.db, { room_id: room.id }, page);
        return { body: makePage(rows, query.limit, (row) => presentGrant(row, storeClock.now())) };
      },
    }),
    defineRoute({
      ...ofUser,
      method: 'post',
      summary: "Create a grant for a user's softphone",
      description:
        "The softphone registers at the returned node with its own credentials, without the user's password, " +
        `and rings when the user is called. ${LIFE}`,
      body: userGrantBody,
      answers: { 201: newGrantSchema },
      errors: ['unprocessable', 'no_capacity', 'feature_missing', 'quota_exceeded'],
      handle: async ({ params, body, caller }) => made(await createUserGrant(deps, caller, params.id, body)),
    }),
    defineRoute({
      ...ofUser,
      method: 'get',
      summary: 'List the grants of a user',
      query: z.object(pageQuery),
      answers: { 200: pageOf(grantSchema) },
      handle: async ({ params, query, caller }) => {
        const user = await requireUserOf(deps, caller, params.id);
        const page = { after: readCursor(query.cursor), limit: query.limit };
        const rows = await listGrants(deps.db, { user_id: user.id, kind: 'user' }, page);
        return { body: makePage(rows, query.limit, (row) => presentGrant(row, storeClock.now())) };
      },
    }),
    defineRoute({
      path: '/v1/grants/self',
      tag: 'Grants',
      scope: 'grant',
      method: 'get',
      summary: 'Read the grant of this token',
      description:
        "For the holder of a grant's token: returns the current node of the room or phone. A page requests it when its " +
        'node died or the room moved, then enters again with the same credentials.',
      answers: { 200: selfSchema },
      errors: ['forbidden', 'gone', 'no_capacity', 'feature_missing', 'quota_exceeded'],
      handle: async ({ caller }) => {
        if (!caller.grant) throw new SwitchyardError('forbidden', "This needs a grant's token.");
        return { body: await locateSelf(deps, caller.grant.id) };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      summary: 'Read a grant',
      answers: { 200: grantSchema },
      handle: async ({ params, caller }) => {
        const row = await findGrant(deps.db, params.id, caller.domainId);
        if (!row) throw new SwitchyardError('not_found', 'No such grant.');
        return { body: presentGrant(row, storeClock.now()) };
      },
    }),
    defineRoute({
      ...one,
      method: 'patch',
      summary: 'Change when a grant expires',
      description:
        'With `expiresAt` or `expiresInSeconds`, at most a day from now. An expired grant becomes valid again, with the ' +
        'same login and token; a revoked one never does. TURN credentials keep their expiry: a page gets new ' +
        'ones with `GET /v1/grants/self`.',
      body: grantPatch,
      answers: { 200: grantSchema },
      errors: ['gone', 'quota_exceeded'],
      handle: async ({ params, body, caller }) => {
        const row = await extendGrant(deps, caller, params.id, body, storeClock.now());
        return { body: presentGrant(row, storeClock.now()) };
      },
    }),
    defineRoute({
      ...one,
      method: 'delete',
      summary: 'Revoke a grant',
      description:
        'Within a second its registrations end, its calls are hung up, its participants are removed from rooms, new calls ' +
        'are refused, and event streams of its token end.',
      answers: { 204: null },
      handle: async ({ params, caller }) => {
        await revokeGrant(deps, caller, params.id, storeClock.now());
        return { status: 204 };
      },
    }),
  ];
}
