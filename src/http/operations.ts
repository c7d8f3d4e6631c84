/** What operators and their machines ask: is it alive, can it work, how much has it done. */
import express, { type Express, type RequestHandler } from 'express';
import { Counter, Histogram, type Registry } from 'prom-client';

const READY_TIMEOUT_MS = 2500;

/** A store is asked this often at most, however many ask us: a stranger may ask too. */
const READY_FRESH_MS = 1000;

/** Store by store, whether it answers; nothing at all where no answer came in time. */
export type Readiness = () => Promise<Record<string, boolean>>;

/** Asks once for all who ask within a second, and waits no longer than the deadline. */
export function createReadiness(check: Readiness, now: () => number): Readiness {
  let last: { atMs: number; checks: Promise<Record<string, boolean>> } | undefined;
  return () => {
    if (!last || now() - last.atMs >= READY_FRESH_MS) {
      last = { atMs: now(), checks: withDeadline(check()).catch(() => ({})) };
    }
    return last.checks;
  };
}

type Verdict = { status: 200 | 503; body: { status: 'ready' | 'not ready' }; checks: Record<string, boolean> };

async function judge(ready: Readiness): Promise<Verdict> {
  const checks = await ready().catch(() => ({}));
  const is = Object.keys(checks).length > 0 && Object.values(checks).every(Boolean);
  return { status: is ? 200 : 503, body: { status: is ? 'ready' : 'not ready' }, checks };
}

/** What load balancers ask at any port: /healthz says the process runs, /readyz whether it can work, and no more. */
export function mountHealth(app: Express, ready: Readiness): void {
  app.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  app.get('/readyz', async (_request, response) => {
    const { status, body } = await judge(ready);
    response.status(status).json(body);
  });
}

/** For the operator's port: which store is away, and Prometheus' /metrics. */
export function createOperationsApp(o: { ready: Readiness; metrics: Registry }): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/readyz', async (_request, response) => {
    const { status, body, checks } = await judge(o.ready);
    response.status(status).json({ ...body, checks });
  });
  mountHealth(app, o.ready);
  app.get('/metrics', async (_request, response) => {
    response.set('Content-Type', o.metrics.contentType).send(await o.metrics.metrics());
  });
  return sayNotFound(app, 'This port answers /healthz, /readyz and /metrics only.\n');
}

/** For the nodes' own port, beside their doors. */
export function createNodesApp(o: { ready: Readiness }): Express {
  const app = express();
  app.disable('x-powered-by');
  mountHealth(app, o.ready);
  return sayNotFound(app, 'This port is for media nodes: /freeswitch/…, /healthz and /readyz.\n');
}

function sayNotFound(app: Express, text: string): Express {
  app.use((_request, response) => {
    response.status(404).type('text/plain').send(text);
  });
  return app;
}

async function withDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('late')), READY_TIMEOUT_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Counts and times requests under their route's path, never under what was asked for: that has no end of names. */
export function measureRequests(metrics: Registry): RequestHandler {
  const labelNames = ['method', 'route', 'status'] as const;
  const count = new Counter({
    name: 'switchyard_http_requests_total',
    help: 'Requests answered.',
    labelNames,
    registers: [metrics],
  });
  const seconds = new Histogram({
    name: 'switchyard_http_request_seconds',
    help: 'Time from a request to its answer; streams are left out.',
    labelNames: ['method', 'route'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [metrics],
  });
  return (request, response, next) => {
    const began = process.hrtime.bigint();
    response.once('close', () => {
      const route = String(response.locals.route ?? 'other');
      count.inc({ method: request.method, route, status: String(response.statusCode) });
      if (!response.locals.streams) {
        seconds.observe({ method: request.method, route }, Number(process.hrtime.bigint() - began) / 1e9);
      }
    });
    next();
  };
}
