/** What operators and their machines ask: is it alive, can it work, how much has it done. */
import express, { type Express, type RequestHandler } from 'express';
import { Counter, Histogram, type Registry } from 'prom-client';
import { withDeadline } from '../infra/flow/deadline';

const READY_TIMEOUT_MS = 2500;

/** A store is asked this often at most, however many ask us: a stranger may ask too. */
const READY_FRESH_MS = 1000;

/** Check by check: well, not well, or in words what is wrong. */
export type Checks = Record<string, boolean | string>;
/** Nothing at all where no answer came in time. */
export type Readiness = () => Promise<Checks>;

/** Asks once for all who ask within a second, and waits no longer than the deadline. */
export function createReadiness(check: Readiness, now: () => number): Readiness {
  let last: { atMs: number; checks: Promise<Checks> } | undefined;
  return () => {
    if (!last || now() - last.atMs >= READY_FRESH_MS) {
      last = { atMs: now(), checks: withDeadline(check(), READY_TIMEOUT_MS, () => ({})).catch(() => ({})) };
    }
    return last.checks;
  };
}

interface Verdict {
  status: 200 | 503;
  body: { status: 'ready' | 'not ready' };
  checks: Record<string, boolean>;
  faults: string[];
}

async function judge(ready: Readiness): Promise<Verdict> {
  const checks = await ready().catch(() => ({}));
  const said = Object.entries(checks).map(([name, found]) => [name, found === true] as const);
  const is = said.length > 0 && said.every(([, isWell]) => isWell);
  const faults = Object.values(checks).filter((found) => typeof found === 'string');
  return {
    status: is ? 200 : 503,
    body: { status: is ? 'ready' : 'not ready' },
    checks: Object.fromEntries(said),
    faults: said.length === 0 ? ['No answer came in time.'] : faults,
  };
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

/**
 * For the operator's port: /readyz says whether all of it works, and in words what does not; /readyz/replica only whether
 * this replica can, for what waits for it before it starts something else; and Prometheus' /metrics.
 */
export function createOperationsApp(o: { replica: Readiness; whole: Readiness; metrics: Registry }): Express {
  const app = express();
  app.disable('x-powered-by');
  for (const [path, ready] of [
    ['/readyz', o.whole],
    ['/readyz/replica', o.replica],
  ] as const) {
    app.get(path, async (_request, response) => {
      const { status, body, checks, faults } = await judge(ready);
      response.status(status).json({ ...body, checks, ...(faults.length > 0 ? { faults } : {}) });
    });
  }
  mountHealth(app, o.replica);
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
