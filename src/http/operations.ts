/** What operators and their machines ask: is it alive, can it work, how much has it done. */
import express, { type Express, type RequestHandler } from 'express';
import { Counter, Histogram, type Registry } from 'prom-client';

const READY_TIMEOUT_MS = 2500;

/** /healthz says the process runs; /readyz asks its stores; /metrics is for Prometheus. */
export function mountOperations(
  app: Express,
  o: { ready: () => Promise<Record<string, boolean>>; metrics: Registry },
): void {
  app.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  app.get('/readyz', async (_request, response) => {
    const checks = await withDeadline(o.ready()).catch(() => ({}) as Record<string, boolean>);
    const ready = Object.keys(checks).length > 0 && Object.values(checks).every(Boolean);
    response.status(ready ? 200 : 503).json({ status: ready ? 'ready' : 'not ready', checks });
  });
  app.get('/metrics', async (_request, response) => {
    response.set('Content-Type', o.metrics.contentType).send(await o.metrics.metrics());
  });
}

/** For a replica that serves nobody else: what is asked beside these is not found. */
export function createOperationsApp(o: Parameters<typeof mountOperations>[1]): Express {
  const app = express();
  app.disable('x-powered-by');
  mountOperations(app, o);
  app.use((_request, response) => {
    response.status(404).type('text/plain').send('This replica answers /healthz, /readyz and /metrics only.\n');
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
