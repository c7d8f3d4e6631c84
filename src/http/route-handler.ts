/** Turns a Route into what Express runs: who asks, what they send, what they may, and what they get. */
import type { Express, NextFunction, Request, Response } from 'express';
import { z } from 'zod';
import { SwitchyardError } from '../errors';
import { describeIssue } from '../schema-faults';
import type { Caller, Route, RouteAnswer, RouteContext, Scope } from '../infra/route';
import { shownBearer, type Doorkeeper } from './request/authentication';
import { readFileBody, readJsonBody, type BodyLimits } from './request/body';
import { answerOnce, readIdempotencyKey } from './request/idempotency';
import type { IdempotencyStore, KeptAnswer } from './request/idempotency.store';
import { requestIdOf } from './problem';
import { refuseBadTexts, validate } from './request/validation';

export interface RouteHandlerOptions {
  doorkeeper: Doorkeeper;
  idempotency: IdempotencyStore;
  limits: { body: BodyLimits };
  /** In tests: an answer that differs from its schema is a fault. */
  checkAnswers?: boolean;
}

const NOTHING = z.object({});

/** Mounts the routes, grouped by path, so that a wrong method is answered with those that are right. */
export function mountRoutes(app: Express, routes: readonly Route[], o: RouteHandlerOptions): void {
  const byPath = new Map<string, Route[]>();
  for (const route of routes) byPath.set(route.path, [...(byPath.get(route.path) ?? []), route]);
  // Paths without a parameter first: /v1/nodes/next must not be read as the node "next".
  const paths = [...byPath.keys()].sort((a, b) => Number(a.includes('{')) - Number(b.includes('{')));
  for (const path of paths) {
    const here = byPath.get(path)!;
    app.all(path.replace(/\{(\w+)\}/g, ':$1'), async (request, response, next: NextFunction) => {
      response.locals.route = path;
      try {
        const method = request.method === 'HEAD' ? 'get' : request.method.toLowerCase();
        const route = here.find((r) => r.method === method);
        if (route) await handleRoute(route, request, response, o);
        else refuseMethod(here, request, response);
      } catch (error) {
        next(error);
      }
    });
  }
}

function refuseMethod(here: readonly Route[], request: Request, response: Response): void {
  const allowed = here.map((r) => r.method.toUpperCase());
  if (allowed.includes('GET')) allowed.push('HEAD');
  response.set('Allow', [...allowed, 'OPTIONS'].join(', '));
  if (request.method !== 'OPTIONS') throw new SwitchyardError('method_not_allowed');
  response.status(204).end();
}

/** @throws SwitchyardError unauthorized, with the header that says how; forbidden, rate_limited */
async function requireCaller(
  request: Request,
  response: Response,
  need: Scope,
  doorkeeper: Doorkeeper,
): Promise<{ caller: Caller; bearer: string }> {
  const token = need === 'grant' ? request.query.access_token : undefined;
  try {
    return await doorkeeper.require(shownBearer(request.headers.authorization, token), request.ip ?? '', need);
  } catch (error) {
    if (error instanceof SwitchyardError && error.code === 'unauthorized') {
      response.set('WWW-Authenticate', 'Bearer realm="switchyard"');
    }
    throw error;
  }
}

async function handleRoute(route: Route, request: Request, response: Response, o: RouteHandlerOptions): Promise<void> {
  const { caller, bearer } = await requireCaller(request, response, route.scope, o.doorkeeper);
  response.locals.apiKeyId = caller.apiKeyId;
  const params = readParams(route, request);
  const writes = route.method === 'post' || route.method === 'put' || route.method === 'patch';
  const file = route.file && (await readFileBody(request, response, { ...o.limits.body, ...route.file }));
  const raw = writes && !file ? await readJsonBody(request, response, o.limits.body) : undefined;
  const context = {
    params,
    query: validate(route.query ?? NOTHING, queryOf(route, request), 'query'),
    body: validate(route.body ?? NOTHING, raw, 'body'),
    file,
    caller,
    bearer,
    requestId: requestIdOf(response),
    request,
    response,
  } as RouteContext<never, never, never>;
  const key = route.method === 'post' ? readIdempotencyKey(request.get('idempotency-key')) : undefined;
  if (key !== undefined) return replayable(route, context, caller, key, raw, o);
  const answer = await route.handle(context);
  if (answer) send(response, complete(route, answer, o));
}

async function replayable(
  route: Route,
  context: RouteContext<never, never, never>,
  caller: Caller,
  key: string,
  raw: unknown,
  o: RouteHandlerOptions,
): Promise<void> {
  const request = JSON.stringify([route.method, context.request.originalUrl, raw ?? null]);
  const { answer, replayed } = await answerOnce(
    o.idempotency,
    { apiKeyId: caller.apiKeyId, key, request },
    async () => {
      const given = await route.handle(context);
      if (!given) throw new Error(`${route.path} streams: it can't be replayed`);
      return complete(route, given, o);
    },
  );
  if (replayed) context.response.set('Idempotency-Replayed', 'true');
  send(context.response, answer);
}

/** Where a grant's token may stand in the query, it is none of the route's fields. */
function queryOf(route: Route, request: Request): unknown {
  if (route.scope !== 'grant') return request.query;
  const { access_token: _token, ...fields } = request.query;
  return fields;
}

/** A path that can't name anything names nothing; one that holds what no text may hold is refused like any input. */
function readParams(route: Route, request: Request): unknown {
  refuseBadTexts(request.params, 'path');
  if (!route.params) return {};
  const result = route.params.safeParse(request.params);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const name = `{${issue.path.join('.')}} in the path`;
  if (issue.code === 'invalid_value') {
    throw new SwitchyardError('not_found', `${name} ${describeIssue(issue)}.`, { fix: 'Use one of these words.' });
  }
  throw new SwitchyardError('not_found', `${name} is not valid.`, {
    fix: 'Use the id or name as the API returned it.',
  });
}

function complete(route: Route, answer: RouteAnswer, o: RouteHandlerOptions): KeptAnswer {
  const status = answer.status ?? Number(Object.keys(route.answers)[0] ?? 200);
  const schema = route.answers[status];
  if (o.checkAnswers && schema) {
    const strict = schema instanceof z.ZodObject ? schema.strict() : schema;
    strict.parse(JSON.parse(JSON.stringify(answer.body)));
  }
  return { status, body: answer.body ?? null, headers: answer.headers ?? {} };
}

function send(response: Response, answer: KeptAnswer): void {
  response.status(answer.status).set(answer.headers);
  if (answer.body === null) response.end();
  else response.json(answer.body);
}
