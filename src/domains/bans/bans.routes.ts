/** The REST of bans: who is refused, why and until when, and what a person says about it. */
import { z } from 'zod';
import { SwitchyardError } from '../../errors';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { defineRoute, type Route } from '../../infra/route';
import { plainText } from '../../infra/text/plain-text';
import { countedAddress, NO_ADDRESS } from './addresses';
import { banSchema, liftBan, presentBan, startBan, type BansDeps } from './bans';
import { findBan, listBans } from './bans.store';
import { addressKey } from './logins';

const one = { path: '/v1/bans/{id}', tag: 'Bans', params: z.object({ id: z.uuid() }) } as const;
const all = { path: '/v1/bans', tag: 'Bans' } as const;
const address = z
  .string()
  .max(64)
  .refine((text) => countedAddress(text) !== NO_ADDRESS, 'must be an IPv4 or IPv6 address, or an IPv6 /64')
  .describe('An IPv6 address counts as its /64.');

export function bansRoutes(deps: BansDeps): Route[] {
  return [
    defineRoute({
      ...all,
      method: 'get',
      scope: 'domain',
      summary: 'List bans',
      description: 'A domain key sees bans of its own users and rooms. Bans of addresses belong to the whole pool.',
      query: z.object({
        ...pageQuery,
        ended: z.enum(['true', 'false']).default('false').describe('List ended bans instead of active ones.'),
        kind: banSchema.shape.kind.optional(),
        address: address.optional(),
      }),
      answers: { 200: pageOf(banSchema) },
      handle: async ({ query, caller }) => {
        const rows = await listBans(deps.db, {
          domainId: caller.domainId,
          ended: query.ended === 'true',
          kind: query.kind,
          address: query.address === undefined ? undefined : countedAddress(query.address),
          after: readCursor(query.cursor),
          limit: query.limit,
        });
        return { body: makePage(rows, query.limit, presentBan) };
      },
    }),
    defineRoute({
      ...all,
      method: 'post',
      scope: 'admin',
      summary: 'Ban an address',
      body: z.object({
        address,
        door: z.enum(['sip', 'api']).default('sip').describe('Where the address is refused.'),
        seconds: z.number().int().min(1).max(86_400).default(3600),
        note: plainText({ max: 256 }).default('').describe('A note for later readers.'),
      }),
      answers: { 201: banSchema },
      errors: ['conflict', 'unprocessable'],
      handle: async ({ body }) => {
        const counted = countedAddress(body.address);
        if (await deps.readNever(counted)) {
          throw new SwitchyardError(
            'unprocessable',
            `${counted} is never banned: it belongs to the pool or a trusted proxy, or is listed in BAN_NEVER.`,
          );
        }
        const ban = await startBan(deps, {
          kind: 'address',
          key: addressKey(body.door, counted),
          door: body.door,
          address: counted,
          reason: 'manual',
          note: body.note,
          failures: 0,
          forMs: body.seconds * 1000,
        });
        if (!ban) throw new SwitchyardError('conflict', `${counted} is already banned: lift that ban first.`);
        return { status: 201, body: presentBan(ban), headers: { Location: `/v1/bans/${ban.id}` } };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      scope: 'domain',
      summary: 'Read a ban',
      answers: { 200: banSchema },
      handle: async ({ params, caller }) => {
        const row = await findBan(deps.db, params.id, caller.domainId);
        if (!row) throw new SwitchyardError('not_found', 'No such ban.');
        return { body: presentBan(row) };
      },
    }),
    defineRoute({
      ...one,
      method: 'delete',
      scope: 'domain',
      summary: 'Lift a ban',
      description: 'Takes effect at once on every replica. The next ban starts again at the first level.',
      answers: { 204: null },
      errors: ['conflict'],
      handle: async ({ params, caller }) => {
        await liftBan(deps, params.id, caller.domainId);
        return { status: 204 };
      },
    }),
  ];
}
