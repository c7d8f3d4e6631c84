/** The REST of domains. */
import { z } from 'zod';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { defineRoute, type Route } from '../../infra/route';
import { plainText } from '../../infra/text/plain-text';
import {
  changeDomain,
  createDomain,
  domainCountry,
  domainName,
  domainReference,
  domainSchema,
  removeDomain,
  requireDomain,
  presentDomain,
  type DomainsDeps,
} from './domains';
import { listDomains } from './domains.store';

const one = { path: '/v1/domains/{id}', tag: 'Domains', params: z.object({ id: domainReference }) } as const;
const all = { path: '/v1/domains', tag: 'Domains' } as const;
const displayName = plainText({ max: 128 });

export function domainsRoutes(deps: DomainsDeps): Route[] {
  return [
    defineRoute({
      ...all,
      method: 'post',
      summary: 'Create a domain',
      description:
        "The name is the SIP domain at which its phones register. It can't be changed later: password digests include it.",
      scope: 'admin',
      body: z.object({ name: domainName, displayName: displayName.default(''), country: domainCountry.default(null) }),
      answers: { 201: domainSchema },
      errors: ['conflict'],
      handle: async ({ body }) => {
        const domain = await createDomain(deps, body);
        return { status: 201, body: domain, headers: { Location: `/v1/domains/${domain.id}` } };
      },
    }),
    defineRoute({
      ...all,
      method: 'get',
      summary: 'List domains',
      description: 'A domain key sees only its own domain.',
      scope: 'domain',
      query: z.object(pageQuery),
      answers: { 200: pageOf(domainSchema) },
      handle: async ({ query, caller }) => {
        const rows = await listDomains(deps.db, {
          after: readCursor(query.cursor),
          limit: query.limit,
          onlyId: caller.domainId ?? undefined,
        });
        return { body: makePage(rows, query.limit, presentDomain) };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      summary: 'Read a domain',
      scope: 'domain',
      answers: { 200: domainSchema },
      handle: async ({ params, caller }) => ({ body: presentDomain(await requireDomain(deps.db, caller, params.id)) }),
    }),
    defineRoute({
      ...one,
      method: 'patch',
      summary: 'Change a domain',
      scope: 'domain',
      body: z.object({ displayName: displayName.optional(), country: domainCountry.optional() }),
      answers: { 200: domainSchema },
      handle: async ({ params, body, caller }) => {
        const domain = await requireDomain(deps.db, caller, params.id);
        const isEmpty = body.displayName === undefined && body.country === undefined;
        return { body: isEmpty ? presentDomain(domain) : await changeDomain(deps, domain.id, body) };
      },
    }),
    defineRoute({
      ...one,
      method: 'delete',
      summary: 'Delete a domain',
      description: 'Also deletes its users, API keys and calls. Refused while the domain has live calls.',
      scope: 'admin',
      answers: { 204: null },
      errors: ['conflict'],
      handle: async ({ params, caller }) => {
        await removeDomain(deps, await requireDomain(deps.db, caller, params.id));
        return { status: 204 };
      },
    }),
  ];
}
