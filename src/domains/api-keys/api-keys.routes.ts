/** The REST of API keys; only admin keys manage keys. */
import { z } from 'zod';
import { SwitchyardError } from '../../errors';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { defineRoute, type Route } from '../../infra/route';
import { storeClock } from '../../infra/store-clock';
import { plainText } from '../../infra/text/plain-text';
import { domainReference, requireDomain } from '../domains/domains';
import { apiKeySchema, changeApiKey, createApiKey, revokeApiKey, presentApiKey, type ApiKeysDeps } from './api-keys';
import { findApiKey, listApiKeys } from './api-keys.store';

const one = { path: '/v1/api-keys/{id}', tag: 'API keys', scope: 'admin', params: z.object({ id: z.uuid() }) } as const;
const all = { path: '/v1/api-keys', tag: 'API keys', scope: 'admin' } as const;
const name = plainText({ min: 1, max: 128 }).describe('What the key is for.');
const expiresAt = z.iso.datetime({ offset: true }).nullable().describe('When it expires; null: never.');

const toDate = (text: string | null) => (text === null ? null : new Date(text));

export function apiKeysRoutes(deps: ApiKeysDeps): Route[] {
  return [
    defineRoute({
      ...all,
      method: 'post',
      summary: 'Create an API key',
      description: 'The response contains the key. It is shown only this once.',
      body: z.object({
        name,
        scope: z
          .enum(['admin', 'domain'])
          .describe('`admin` can do everything; `domain` everything within one domain.'),
        domain: domainReference.optional().describe('The domain of a domain key, by name or id.'),
        expiresAt: expiresAt.default(null),
      }),
      answers: { 201: apiKeySchema.extend({ key: z.string() }).meta({ id: 'NewApiKey' }) },
      errors: ['not_found'],
      handle: async ({ body, caller }) => {
        const key = await createApiKey(deps, caller, { ...body, expiresAt: toDate(body.expiresAt) });
        return { status: 201, body: key, headers: { Location: `/v1/api-keys/${key.id}` } };
      },
    }),
    defineRoute({
      ...all,
      method: 'get',
      summary: 'List API keys',
      query: z.object({
        ...pageQuery,
        domain: domainReference.optional().describe('Only keys of this domain (name or id).'),
        revoked: z.enum(['true', 'false']).default('false').describe('Include revoked keys.'),
      }),
      answers: { 200: pageOf(apiKeySchema) },
      errors: ['not_found'],
      handle: async ({ query, caller }) => {
        const domain = query.domain === undefined ? undefined : await requireDomain(deps.db, caller, query.domain);
        const rows = await listApiKeys(deps.db, {
          domainId: domain?.id,
          revoked: query.revoked === 'true',
          after: readCursor(query.cursor),
          limit: query.limit,
        });
        return { body: makePage(rows, query.limit, presentApiKey) };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      summary: 'Read an API key',
      answers: { 200: apiKeySchema },
      handle: async ({ params }) => {
        const row = await findApiKey(deps.db, params.id);
        if (!row) throw new SwitchyardError('not_found', 'No such API key.');
        return { body: presentApiKey(row) };
      },
    }),
    defineRoute({
      ...one,
      method: 'patch',
      summary: 'Change an API key',
      body: z.object({ name: name.optional(), expiresAt: expiresAt.optional() }),
      answers: { 200: apiKeySchema },
      errors: ['conflict'],
      handle: async ({ params, body }) => {
        const until = body.expiresAt === undefined ? undefined : toDate(body.expiresAt);
        return { body: await changeApiKey(deps, params.id, { name: body.name, expiresAt: until }) };
      },
    }),
    defineRoute({
      ...one,
      method: 'delete',
      summary: 'Revoke an API key',
      description: 'Takes effect at once, on every replica; event streams opened with it end.',
      answers: { 204: null },
      errors: ['conflict'],
      handle: async ({ params }) => {
        await revokeApiKey(deps, params.id, storeClock.now());
        return { status: 204 };
      },
    }),
  ];
}
