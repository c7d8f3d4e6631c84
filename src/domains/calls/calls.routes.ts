/** The REST of calls: schemas that validate and document, and nothing else. */
import { z } from 'zod';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { plainText } from '../../infra/text/plain-text';
import { defineRoute, type Caller, type Route } from '../../infra/route';
import {
  actOnCall,
  createCall,
  explainPlacement,
  getCall,
  hangupCall,
  listCalls,
  type CallAction,
  type CallDeps,
} from './calls';
import { CALL_OUTCOMES } from './events/outcome';
import { soundOrTones } from './playable';

export interface CallRouteDeps extends CallDeps {
  /** Finds a domain by its name or id as far as the caller may see it. @throws not_found */
  findDomain: (nameOrId: string, caller: Caller) => Promise<{ id: string; name: string }>;
}

const instant = z.iso.datetime().nullable();
const attemptSchema = z.object({
  number: z.number(),
  node: z.string(),
  leg: z.uuid().describe('The leg that carries the attempt.'),
  placedAt: instant,
  rangAt: instant,
  endedAt: instant,
  result: z
    .string()
    .nullable()
    .describe('The outcome; `retried` if another node tried next; null while it is in progress.'),
  hangupCause: z.string().nullable(),
});
const legSchema = z.object({
  id: z.uuid(),
  role: z
    .enum(['from', 'to', 'transit'])
    .describe('Each phone that rings has a leg; `transit` only leads from one node to another.'),
  address: z.string(),
  node: z.string().nullable().describe('null if the node has left the pool.'),
  state: z.enum(['placing', 'ringing', 'answered', 'ended']),
  createdAt: instant,
  ringingAt: instant,
  answeredAt: instant,
  endedAt: instant,
  hangupCause: z.string().nullable(),
});

const callSchema = z
  .object({
    id: z.uuid(),
    domain: z.string(),
    origin: z.enum(['api', 'phone']),
    from: z.string(),
    to: z.string(),
    callerName: z.string(),
    state: z.enum(['queued', 'placing', 'ringing', 'answered', 'ended']),
    outcome: z
      .enum(CALL_OUTCOMES)
      .nullable()
      .describe(
        '`answered`: they talked, and somebody hung up. `connection_lost`: nothing more was received from a phone or browser ' +
          '(killed, frozen, offline). `hold_limit`: on hold for too long. `lost`: its node was lost.',
      ),
    node: z.string().nullable(),
    hangupCause: z.string().nullable(),
    queuedAt: instant,
    ringingAt: instant,
    answeredAt: instant,
    endedAt: instant,
    talkSeconds: z.number().nullable(),
    joinedInto: z.uuid().nullable().describe('The call in which its people continue, if they were bridged.'),
    joined: z
      .array(z.object({ id: z.uuid(), from: z.string(), to: z.string() }))
      .describe('Calls that were merged into this one.'),
    adoptedAt: instant.describe('When it was found on a node although its record had ended or was missing.'),
    metadata: z.record(z.string(), z.unknown()),
    attempts: z.array(attemptSchema),
    legs: z.array(legSchema),
  })
  .meta({ id: 'Call' });

const idParams = z.object({ id: z.uuid() });
const address = z.string().min(1).max(255);

export function callRoutes(deps: CallRouteDeps): Route[] {
  return [...basicRoutes(deps), ...actionRoutes(deps)];
}

function basicRoutes(deps: CallRouteDeps): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/calls',
      tag: 'Calls',
      summary: 'Start a call',
      description:
        'Rings `from` first and connects it to `to` when it answers. Returns the queued call at once; follow ' +
        'it with events, or read it again.',
      scope: 'domain',
      body: z.strictObject({
        domain: z.string().min(1).max(253).describe('The domain that both ends belong to.'),
        from: address.describe("Rings first: user:NAME, or a user's digits."),
        to: address.describe('user:NAME, room:NAME, or what a phone would dial: 9196 is the echo test.'),
        callerName: plainText({ max: 128 }).optional().describe('What the phone of "from" displays while it rings.'),
        ringTimeoutSeconds: z.number().int().min(5).max(300).optional(),
        queueTimeoutSeconds: z
          .number()
          .int()
          .min(1)
          .max(600)
          .optional()
          .describe('How long the call may wait for a node with capacity before it ends with no_capacity.'),
        metadata: z.record(z.string().max(64), z.string().max(1024)).optional(),
      }),
      answers: { 201: callSchema },
      errors: ['invalid_address', 'not_found', 'unprocessable', 'quota_exceeded'],
      handle: async ({ body, caller }) => {
        const domain = await deps.findDomain(body.domain, caller);
        return { status: 201, body: await createCall(deps, { ...body, domainId: domain.id, domain: domain.name }) };
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/calls',
      tag: 'Calls',
      summary: 'List calls, newest first',
      scope: 'domain',
      query: z.strictObject({
        domain: z.string().max(253).optional(),
        state: z.enum(['queued', 'placing', 'ringing', 'answered', 'ended']).optional(),
        ...pageQuery,
      }),
      answers: { 200: pageOf(callSchema) },
      errors: ['not_found'],
      handle: async ({ query, caller }) => {
        const domain = query.domain ? await deps.findDomain(query.domain, caller) : undefined;
        const before = readCursor(query.cursor);
        const domainId = domain?.id ?? caller.domainId ?? undefined;
        const found = await listCalls(deps, { domainId, state: query.state, before, limit: query.limit + 1 });
        return { body: makePage(found, query.limit, (call) => call) };
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/calls/{id}',
      tag: 'Calls',
      summary: 'Read a call with its attempts and legs',
      scope: 'domain',
      params: idParams,
      answers: { 200: callSchema },
      handle: async ({ params, caller }) => ({ body: await getCall(deps, params.id, caller.domainId) }),
    }),
    defineRoute({
      method: 'get',
      path: '/v1/calls/{id}/placement',
      tag: 'Calls',
      summary: 'Explain the placement: every decision with scores and rejections',
      scope: 'domain',
      params: idParams,
      answers: {
        200: z.object({
          call: z.uuid(),
          decisions: z.array(
            z.object({
              attempt: z.number(),
              decidedAt: z.iso.datetime(),
              policy: z.string(),
              node: z.string().nullable(),
              considered: z.array(z.record(z.string(), z.unknown())),
              explanation: z.array(z.string()),
            }),
          ),
        }),
      },
      handle: async ({ params, caller }) => ({ body: await explainPlacement(deps, params.id, caller.domainId) }),
    }),
    defineRoute({
      method: 'post',
      path: '/v1/calls/{id}/hangup',
      tag: 'Calls',
      summary: 'End a call, in any state',
      description: 'Returns the call as it is; the event `call.ended` follows. Idempotent.',
      scope: 'domain',
      params: idParams,
      answers: { 200: callSchema },
      errors: ['node_unreachable', 'node_timeout'],
      handle: async ({ params, caller }) => ({ body: await hangupCall(deps, params.id, caller.domainId) }),
    }),
  ];
}

const HOLD = 'While the call is answered. The events `call.held` and `call.unheld` report it. Idempotent.';

function actionRoutes(deps: CallRouteDeps): Route[] {
  const action = <B extends z.ZodObject>(
    name: string,
    [summary, description]: [string, string],
    body: B,
    read: (b: z.output<B>) => CallAction,
  ) =>
    defineRoute({
      method: 'post',
      path: `/v1/calls/{id}/${name}`,
      tag: 'Calls',
      summary,
      description,
      scope: 'domain',
      params: idParams,
      body: body as z.ZodObject,
      answers: { 200: callSchema },
      errors: [
        'conflict',
        'node_error',
        'node_unreachable',
        'node_timeout',
        ...(name === 'transfer' ? (['invalid_address', 'unprocessable'] as const) : []),
      ],
      handle: async ({ params, body: given, caller }) => ({
        body: await actOnCall(
          deps,
          (params as { id: string }).id,
          caller.domainId,
          read(given as unknown as z.output<B>),
        ),
      }),
    });
  const none = z.strictObject({});
  return [
    action('hold', ['Put the caller on hold', HOLD], none, () => ({ do: 'hold' })),
    action('unhold', ['Take the caller off hold', HOLD], none, () => ({ do: 'unhold' })),
    action(
      'dtmf',
      ['Send digits to the caller', 'As if the other end had pressed them.'],
      z.strictObject({
        digits: z.string().regex(/^[0-9A-Da-d*#wW]{1,128}$/, 'must be DTMF digits; w and W are pauses'),
      }),
      (b) => ({ do: 'dtmf', digits: b.digits }),
    ),
    action(
      'play',
      ['Play a tone or a file to both', 'Returns the call. If the node lacks the file, nothing is played.'],
      z.strictObject({ source: soundOrTones }),
      (b) => ({ do: 'play', source: b.source }),
    ),
    action(
      'transfer',
      [
        'Connect the caller to somebody else',
        'The other end is hung up at once, and `to` is rung. If `to` is busy, unreachable or does not answer, the call ends.',
      ],
      z.strictObject({ to: address }),
      (b) => ({ do: 'transfer', to: b.to }),
    ),
  ];
}
