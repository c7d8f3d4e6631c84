/** The REST of users. */
import { z } from 'zod';
import { anyDialledName } from '../../infra/text/dialled-name';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { defineRoute, type Route } from '../../infra/route';
import { plainText } from '../../infra/text/plain-text';
import { domainReference, requireDomain } from '../domains/domains';
import {
  changeUser,
  createUser,
  newUserSchema,
  password,
  removeUser,
  requireUser,
  presentUsers,
  username,
  userSchema,
  type UsersDeps,
} from './users';
import { callerNumber } from './numbers';
import { listUsers } from './users.store';

const one = { path: '/v1/users/{id}', tag: 'Users', scope: 'domain', params: z.object({ id: z.uuid() }) } as const;
const all = { path: '/v1/users', tag: 'Users', scope: 'domain' } as const;
const displayName = plainText({ max: 128 }).describe('Shown to callees. Any characters except control characters.');

export function usersRoutes(deps: UsersDeps): Route[] {
  return [
    defineRoute({
      ...all,
      method: 'post',
      summary: 'Create a user',
      body: z.object({
        domain: domainReference.optional().describe("A domain's name or id. With a domain key it can be omitted."),
        username,
        password: password.optional().describe('If omitted, one is generated and returned only this once.'),
        displayName: displayName.default(''),
        callerNumber: callerNumber.default(null),
        enabled: z.boolean().default(true).describe("A disabled user can't register."),
      }),
      answers: { 201: newUserSchema },
      errors: ['conflict', 'not_found', 'quota_exceeded'],
      handle: async ({ body, caller }) => {
        const user = await createUser(deps, caller, body);
        return { status: 201, body: user, headers: { Location: `/v1/users/${user.id}` } };
      },
    }),
    defineRoute({
      ...all,
      method: 'get',
      summary: 'List users',
      query: z.object({
        ...pageQuery,
        domain: domainReference.optional().describe('Only users of this domain (name or id).'),
        username: anyDialledName.optional().describe('Only the user of this name.'),
      }),
      answers: { 200: pageOf(userSchema) },
      errors: ['not_found'],
      handle: async ({ query, caller }) => {
        const after = readCursor(query.cursor);
        const domain =
          query.domain !== undefined || caller.domainId !== null
            ? await requireDomain(deps.db, caller, query.domain)
            : undefined;
        const { limit, username: name } = query;
        const rows = await listUsers(deps.db, { domainId: domain?.id, username: name, after, limit });
        const views = await presentUsers(deps, rows.slice(0, limit));
        return { body: makePage(rows, limit, (row) => views.get(row.id)) };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      summary: 'Read a user',
      answers: { 200: userSchema },
      handle: async ({ params, caller }) => {
        const user = await requireUser(deps.db, caller, params.id);
        return { body: (await presentUsers(deps, [user])).get(user.id) };
      },
    }),
    defineRoute({
      ...one,
      method: 'patch',
      summary: 'Change a user',
      description: "The username can't be changed: the password digest includes it.",
      body: z.object({
        password: password.optional(),
        displayName: displayName.optional(),
        callerNumber: callerNumber.optional(),
        enabled: z.boolean().optional(),
      }),
      answers: { 200: userSchema },
      handle: async ({ params, body, caller }) => {
        const user = await changeUser(deps, await requireUser(deps.db, caller, params.id), body);
        return { body: (await presentUsers(deps, [user])).get(user.id) };
      },
    }),
    defineRoute({
      ...one,
      method: 'delete',
      summary: 'Delete a user',
      answers: { 204: null },
      handle: async ({ params, caller }) => {
        await removeUser(deps, await requireUser(deps.db, caller, params.id));
        return { status: 204 };
      },
    }),
  ];
}
