/** The Express app: everything a request passes on its way, in order. Nodes come first and pass none of the rest. */
import { randomUUID } from 'node:crypto';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { pinoHttp } from 'pino-http';
import type { Registry } from 'prom-client';
import { SwitchyardError } from '../errors';
import { createLocalBuckets } from '../infra/stores/buckets';
import type { Logger } from '../infra/logger';
import type { Route } from '../infra/route';
import { storeClock } from '../infra/store-clock';
import {
  createDoorkeeper,
  REQUEST_LIMITS,
  type Authenticate,
  type Doorkeeper,
  type RequestLimits,
} from './request/authentication';
import type { BodyLimits } from './request/body';
import { allowGrantPages } from './request/cors';
import { mountRoutes } from './route-handler';
import { mountDocs } from './docs/docs';
import type { IdempotencyStore } from './request/idempotency.store';
import { buildOpenApi } from './docs/openapi';
import { measureRequests, mountHealth, type Readiness } from './operations';
import { problemHandler } from './problem';

export interface AppOptions {
  routes: readonly Route[];
  authenticate: Authenticate;
  /** One for all that ask with a bearer, sockets too; made of `authenticate` where it is left out. */
  doorkeeper?: Doorkeeper;
  idempotency: IdempotencyStore;
  /** Store by store, whether it answers: `{ postgres: true, redis: true }`. Which one is away is not told here. */
  ready: Readiness;
  /** Each app needs a registry of its own: it registers its request metrics there. They are shown elsewhere. */
  metrics: Registry;
  logger: Logger;
  version: string;
  /** Named as the server in the OpenAPI document; the document's own origin where it is left out. */
  publicUrl?: string;
  /** Addresses and networks whose X-Forwarded-For is believed; left out: nobody's. */
  trustedProxies?: readonly string[];
  /** Mounted before everything: xml_curl and CDRs pass no helmet, no log and no JSON reader. */
  nodeEntrances?: (app: Express) => void;
  /** Pages and the like, mounted after the API and before "not found". */
  pages?: (app: Express) => void;
  requestLimits?: Partial<RequestLimits>;
  bodyLimits?: BodyLimits;
  now?: () => number;
  /** In tests: an answer that differs from its schema is a fault. */
  checkAnswers?: boolean;
}

const DEFAULT_BODY: BodyLimits = { maxBytes: 100_000, deadlineMs: 10_000 };

/** Builds the app; createHttpServer() serves it. */
export function createApp(o: AppOptions): Express {
  const now = o.now ?? storeClock.nowMs;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.set('trust proxy', [...(o.trustedProxies ?? [])]);
  o.nodeEntrances?.(app);
  app.use(nameRequest);
  app.use(measureRequests(o.metrics));
  app.use(logRequests(o.logger));
  app.use(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    }),
  );
  mountHealth(app, o.ready);
  const document = buildOpenApi(o.routes, { version: o.version, publicUrl: o.publicUrl });
  app.get('/openapi.json', (_request, response) => {
    response.json(document);
  });
  mountDocs(app, document);
  app.use('/v1', (_request, response, next) => {
    response.set('Cache-Control', 'no-store');
    next();
  });
  app.use(['/v1/events', '/v1/grants/self'], allowGrantPages);
  mountRoutes(app, o.routes, {
    doorkeeper:
      o.doorkeeper ??
      createDoorkeeper({
        authenticate: o.authenticate,
        buckets: createLocalBuckets(now),
        limits: { ...REQUEST_LIMITS, ...o.requestLimits },
        now,
      }),
    idempotency: o.idempotency,
    checkAnswers: o.checkAnswers,
    limits: { body: o.bodyLimits ?? DEFAULT_BODY },
  });
  o.pages?.(app);
  app.use((_request, _response, next) => {
    next(new SwitchyardError('not_found', 'No such endpoint.', { fix: 'See /docs for all of them.' }));
  });
  app.use(problemHandler(o.logger));
  return app;
}

const nameRequest: RequestHandler = (request, response, next) => {
  const given = request.get('x-request-id');
  const requestId = given !== undefined && /^[A-Za-z0-9._-]{1,64}$/.test(given) ? given : randomUUID();
  response.locals.requestId = requestId;
  response.set('X-Request-Id', requestId);
  next();
};

/** One line for each request: no headers, no query, no body, since secrets live there. */
function logRequests(logger: Logger): RequestHandler {
  return pinoHttp({
    logger,
    quietReqLogger: true,
    genReqId: (_request, response) => String((response as express.Response).locals.requestId),
    customAttributeKeys: { reqId: 'requestId' },
    customLogLevel: (request) => (/^\/(healthz|readyz)/.test(request.url ?? '') ? 'debug' : 'info'),
    customProps: (_request, response) => ({ apiKeyId: (response as express.Response).locals.apiKeyId as unknown }),
    serializers: {
      req: (request: { method: string; url: string }) => ({
        method: request.method,
        path: request.url.split('?', 1)[0]?.slice(0, 300),
      }),
      res: (response: { statusCode: number }) => ({ status: response.statusCode }),
      err: (error: { message?: string }) => ({ message: error.message }),
    },
    wrapSerializers: true,
  }) as RequestHandler;
}
