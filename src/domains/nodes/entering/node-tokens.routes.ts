/** The REST of letting nodes in: tokens for one name each, and the yes that a node may wait for. */
import { z } from 'zod';
import { SwitchyardError } from '../../../errors';
import { createId } from '../../../infra/ids';
import { defineRoute, type Route } from '../../../infra/route';
import { createSecret, hashSecret } from '../../../infra/secrets';
import { storeClock } from '../../../infra/store-clock';
import { approveNode, type NodeDeps } from '../nodes';
import { NODE_NAME } from './admission';
import { deleteOldTokens, deleteOpenToken, insertToken, listOpenTokens, type NodeTokenRow } from './node-tokens.store';

const DAY_MS = 86_400_000;

const tokenSchema = z
  .object({
    id: z.uuid(),
    name: z.string().describe('The name of the node that it admits.'),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime(),
  })
  .meta({ id: 'NodeToken' });

function presentToken(row: NodeTokenRow): z.output<typeof tokenSchema> {
  const { id, name } = row;
  return { id, name, createdAt: row.created_at.toISOString(), expiresAt: row.expires_at.toISOString() };
}

const idParams = z.object({ id: z.uuid() });

export function nodeTokenRoutes<N>(
  deps: NodeDeps & { nodeSchema: z.ZodType<N>; show: (id: string) => Promise<N> },
): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/nodes/tokens',
      tag: 'Nodes',
      summary: 'Create a token that admits one node, once (shown once)',
      description:
        "The node's launcher sends it to POST /freeswitch/enrol with the node's name and a secret that it made; " +
        'from then on the node uses that secret, and holds nothing that admits another node.',
      scope: 'admin',
      body: z.strictObject({
        name: z.string().regex(NODE_NAME),
        expiresInSeconds: z.number().int().min(10).max(604_800).default(3600),
      }),
      answers: { 201: tokenSchema.extend({ token: z.string() }) },
      handle: async ({ body }) => {
        const now = storeClock.now();
        const token = `nt_${createSecret()}`;
        const row = {
          id: createId(now.getTime()),
          name: body.name,
          token_hash: hashSecret(token),
          created_at: now,
          expires_at: new Date(now.getTime() + body.expiresInSeconds * 1000),
          used_at: null,
          secret_hash: null,
          entered_at: null,
        };
        await deleteOldTokens(deps.db, new Date(now.getTime() - DAY_MS));
        await insertToken(deps.db, row);
        return { status: 201, body: { ...presentToken(row), token } };
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/nodes/tokens',
      tag: 'Nodes',
      summary: 'List join tokens that can still be used',
      scope: 'admin',
      answers: { 200: z.object({ items: z.array(tokenSchema), nextCursor: z.null() }) },
      handle: async () => ({
        body: { items: (await listOpenTokens(deps.db, storeClock.now())).map(presentToken), nextCursor: null },
      }),
    }),
    defineRoute({
      method: 'delete',
      path: '/v1/nodes/tokens/{id}',
      tag: 'Nodes',
      summary: 'Revoke an unused join token',
      scope: 'admin',
      params: idParams,
      answers: { 204: null },
      handle: async ({ params }) => {
        if (!(await deleteOpenToken(deps.db, params.id)))
          throw new SwitchyardError('not_found', 'No such join token, or it was used.');
        return { status: 204 };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/v1/nodes/{id}/approve',
      tag: 'Nodes',
      summary: 'Approve a pending node',
      scope: 'admin',
      params: idParams,
      answers: { 200: deps.nodeSchema },
      errors: ['conflict'],
      handle: async ({ params }) => {
        await approveNode(deps, params.id);
        return { body: await deps.show(params.id) };
      },
    }),
  ];
}
