/** The REST of layouts. */
import { z } from 'zod';
import { makePage, pageOf, pageQuery, readCursor } from '../../../infra/pagination';
import { defineRoute, type Route } from '../../../infra/route';
import { domainReference, requireDomain } from '../../domains/domains';
import {
  changeLayout,
  createLayout,
  images,
  LAYOUT_GROUPS,
  layoutGroupSchema,
  layoutName,
  layoutSchema,
  removeLayout,
  requireLayoutRow,
  presentLayout,
  STOCK_LAYOUTS,
  stockLayoutSchema,
  type LayoutsDeps,
} from './layouts';
import { listLayoutRows } from './layouts.store';

const all = { path: '/v1/layouts', tag: 'Layouts', scope: 'domain' } as const;
const one = { path: '/v1/layouts/{id}', tag: 'Layouts', scope: 'domain', params: z.object({ id: z.uuid() }) } as const;

export function layoutsRoutes(deps: LayoutsDeps): Route[] {
  return [
    defineRoute({
      ...all,
      method: 'post',
      summary: 'Create a layout',
      description: "The domain's rooms can use it from their next session on.",
      body: z.object({ domain: domainReference.optional(), name: layoutName, images }),
      answers: { 201: layoutSchema },
      errors: ['conflict', 'not_found', 'unprocessable', 'quota_exceeded'],
      handle: async ({ body, caller }) => {
        const layout = await createLayout(deps, caller, body);
        return { status: 201, body: layout, headers: { Location: `/v1/layouts/${layout.id}` } };
      },
    }),
    defineRoute({
      ...all,
      method: 'get',
      summary: 'List layouts',
      description: 'Layouts of domains, and the stock layouts and groups that every room has.',
      query: z.object({ ...pageQuery, domain: domainReference.optional(), name: layoutName.optional() }),
      answers: {
        200: pageOf(layoutSchema).extend({ stock: z.array(stockLayoutSchema), groups: z.array(layoutGroupSchema) }),
      },
      errors: ['not_found'],
      handle: async ({ query, caller }) => {
        const after = readCursor(query.cursor);
        const named = query.domain !== undefined || caller.domainId !== null;
        const domain = named ? await requireDomain(deps.db, caller, query.domain) : undefined;
        const { limit, name } = query;
        const rows = await listLayoutRows(deps.db, { domainId: domain?.id, name, after, limit });
        return { body: { ...makePage(rows, limit, presentLayout), stock: STOCK_LAYOUTS, groups: LAYOUT_GROUPS } };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      summary: 'Read a layout',
      answers: { 200: layoutSchema },
      handle: async ({ params, caller }) => ({
        body: presentLayout(await requireLayoutRow(deps.db, caller, params.id)),
      }),
    }),
    defineRoute({
      ...one,
      method: 'patch',
      summary: 'Change a layout',
      description: 'Current sessions keep the old version.',
      body: z.object({ images }),
      answers: { 200: layoutSchema },
      handle: async ({ params, body, caller }) => ({
        body: await changeLayout(deps, await requireLayoutRow(deps.db, caller, params.id), body),
      }),
    }),
    defineRoute({
      ...one,
      method: 'delete',
      summary: 'Delete a layout',
      description: 'Refused while rooms use it.',
      answers: { 204: null },
      errors: ['conflict'],
      handle: async ({ params, caller }) => {
        await removeLayout(deps, await requireLayoutRow(deps.db, caller, params.id));
        return { status: 204 };
      },
    }),
  ];
}
