/** A whole HTTP side on a free port for tests: real stores, real sockets, an admin key. */
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { createKeyRing, type KeyRing } from '../../src/domains/api-keys/key-ring';
import { storeBootstrapKey } from '../../src/domains/api-keys/bootstrap';
import { apiKeysRoutes } from '../../src/domains/api-keys/api-keys.routes';
import { domainsRoutes } from '../../src/domains/domains/domains.routes';
import { createEventLog, type EventLog } from '../../src/domains/events/events';
import { createEventsEndpoints } from '../../src/domains/events/events.routes';
import { createEventBroadcaster } from '../../src/domains/events/broadcaster';
import { UNLIMITED } from '../../src/domains/quotas/quotas';
import { UNCOUNTED_STREAMS } from '../../src/domains/quotas/streams';
import { usersRoutes } from '../../src/domains/users/users.routes';
import { createApp, type AppOptions } from '../../src/http/app';
import { createIdempotencyStore } from '../../src/http/request/idempotency.store';
import { createHttpServer, type ServerLimits } from '../../src/http/server';
import { createDoorkeeper, REQUEST_LIMITS } from '../../src/http/request/authentication';
import { attachEventSockets } from '../../src/http/upgrade';
import { createLocalBuckets } from '../../src/infra/stores/buckets';
import { createDb, type Db } from '../../src/infra/stores/db';
import { createLogger } from '../../src/infra/logger';
import { createBlockingRedis, createRedis } from '../../src/infra/stores/redis';
import type { Route } from '../../src/infra/route';
import { PATIENCE, type TestStores } from '../stores';

export const SECRET = Buffer.alloc(32, 7);
export const ADMIN_KEY = 'sk_test_admin_key_of_the_test';

const PATIENT: ServerLimits = { headersMs: 60_000, requestMs: 60_000, checkMs: 1000 };

export interface TestApi {
  url: string;
  port: number;
  db: Db;
  ring: KeyRing;
  events: EventLog;
  /** `domain/username` of every user whose nodes were told. */
  changed: string[];
  lines: string[];
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  close(): Promise<void>;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any
}

export async function startApi(
  stores: Pick<TestStores, 'databaseUrl' | 'redisUrl' | 'redisPrefix'>,
  o: Partial<AppOptions> & {
    extra?: Route[];
    heartbeatMs?: number;
    stalledMs?: number;
    /** How often events are looked for where Redis tells nothing. */
    pollMs?: number;
    /** By which keys expire, and are asked for anew. */
    keyClock?: () => number;
    /** How long a client may take; long where a test says nothing: each of ours is quick but for the machine it runs on. */
    serverLimits?: ServerLimits;
  } = {},
): Promise<TestApi> {
  const lines: string[] = [];
  const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
  const db = createDb(stores.databaseUrl, 30, PATIENCE);
  const redis = createRedis(stores.redisUrl, logger);
  await redis.connect().catch(() => undefined);
  const subscriber = createBlockingRedis(stores.redisUrl, logger);
  const prefix = stores.redisPrefix;
  const ring = createKeyRing({ db, redis, subscriber, prefix, logger, now: o.keyClock });
  const broadcaster = createEventBroadcaster({ db, redis, subscriber, prefix, logger, pollMs: o.pollMs ?? 300 });
  const listening = Promise.all([ring.start(), broadcaster.start()]);
  if (redis.status === 'ready') await listening;
  else listening.catch(() => undefined);
  const events = createEventLog(db, broadcaster, logger);
  const changed: string[] = [];
  const onUserChanged = (u: { domain: string; username: string }) => void changed.push(`${u.domain}/${u.username}`);
  const entrance = createEventsEndpoints({
    db,
    broadcaster,
    logger,
    authenticate: ring.authenticate,
    onKeyRevoked: ring.onRevoked,
    heartbeatMs: o.heartbeatMs,
    stalledMs: o.stalledMs,
    streams: UNCOUNTED_STREAMS,
  });
  const authenticate = o.authenticate ?? ring.authenticate;
  const now = o.now ?? Date.now;
  const doorkeeper = createDoorkeeper({
    authenticate,
    buckets: createLocalBuckets(now),
    limits: { ...REQUEST_LIMITS, ...o.requestLimits },
    now,
  });
  const endings = { onGrantsEnded: ring.revoked, broadcast: () => undefined };
  const app = createApp({
    routes: [
      ...domainsRoutes({ db, events, onUserChanged, onKeysRevoked: ring.revoked, endings }),
      ...usersRoutes({
        db,
        events,
        secretKey: SECRET,
        quotas: UNLIMITED,
        onUserChanged,
        endings,
        listRegistrations: () => Promise.resolve(new Map()),
      }),
      ...apiKeysRoutes({ db, events, onKeysRevoked: ring.revoked }),
      ...entrance.routes,
      ...(o.extra ?? []),
    ],
    authenticate,
    doorkeeper,
    idempotency: createIdempotencyStore({ db, secretKey: SECRET }),
    ready: () => Promise.resolve({ postgres: true, redis: true }),
    metrics: new Registry(),
    logger,
    version: '0.0.0',
    checkAnswers: true,
    bodyLimits: { maxBytes: 100_000, deadlineMs: PATIENT.requestMs },
    ...o,
  });
  const keys = { db, events, logger, onKeysRevoked: ring.revoked };
  await storeBootstrapKey(keys, ADMIN_KEY, new Date()).catch(() => undefined);
  const server = createHttpServer(app, o.serverLimits ?? PATIENT);
  const sockets = attachEventSockets(server, {
    events: entrance,
    doorkeeper,
    trustedProxies: o.trustedProxies ?? [],
    logger,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    port,
    db,
    ring,
    events,
    changed,
    lines,
    async call(method, path, body, headers = {}) {
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${ADMIN_KEY}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
      });
      const text = await response.text();
      const json = /json/.test(response.headers.get('content-type') ?? '');
      return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
    },
    async close() {
      sockets.close();
      broadcaster.stop();
      ring.stop();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      redis.disconnect();
      subscriber.disconnect();
      await db.destroy();
    },
  };
}
