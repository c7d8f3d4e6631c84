/** Holds limits to their place: before look-ups, at every door, and over all replicas. */
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { createCredentialGuard } from '../../src/http/nodes/credential-guard';
import { createDoorkeeper, REQUEST_LIMITS, type Doorkeeper } from '../../src/http/request/authentication';
import { limitedBy, readClientAddress } from '../../src/http/request/client-address';
import { listNetworks } from '../../src/address';
import { createFreeswitchEndpoints, type EndpointDeps } from '../../src/http/nodes/freeswitch.endpoints';
import { createLocalBuckets, createSharedBuckets } from '../../src/infra/stores/buckets';
import { createLogger } from '../../src/infra/logger';
import { createSharedMarks } from '../../src/infra/stores/marks';
import { createRedis, type Redis } from '../../src/infra/stores/redis';
import type { SwitchyardError } from '../../src/errors';
import { useStores } from '../stores';
import { ADMIN_KEY, startApi, type TestApi } from './start-api';

const stores = useStores();
const logger = createLogger('silent', { write: () => undefined });
let api: TestApi;
let redis: Redis;
let lookUps = 0;

beforeAll(async () => {
  api = await startApi(stores, { now: () => 0 });
  api.db.on('query', ({ sql }: { sql: string }) => {
    if (/from "api_keys"/.test(sql)) lookUps += 1;
  });
  redis = createRedis(stores.redisUrl, logger);
  await redis.connect();
});
afterAll(async () => {
  redis?.disconnect();
  await api?.close();
});

const bogus = (i: number) => ({ authorization: `Bearer sk_bogus_key_number_${i}` });

test('280 keys that are none make 50 look-ups, and a key that was good a moment ago is not locked out with them', async () => {
  expect((await api.call('GET', '/v1/domains')).status).toBe(200);
  lookUps = 0;
  const answers = await Promise.all(
    Array.from({ length: 280 }, (_, i) => api.call('GET', '/v1/domains', undefined, bogus(i))),
  );
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((s) => s === 401)).toHaveLength(50);
  expect(statuses.filter((s) => s === 429)).toHaveLength(230);
  expect(lookUps).toBe(50);
  expect((await api.call('GET', '/v1/domains')).status).toBe(200);
});

/** The status line of what a bare upgrade is answered with. */
function upgrade(key: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(api.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
    socket.write(
      `GET /v1/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\nAuthorization: Bearer ${key}\r\n\r\n`,
    );
  });
}

test('120 upgrades with bogus keys spend from the same bucket: 429 with a time to come back, and no look-up', async () => {
  lookUps = 0;
  const answers = await Promise.all(Array.from({ length: 120 }, (_, i) => upgrade(`sk_bogus_upgrade_no_${i}`)));
  expect(new Set(answers.map((text) => text.slice(0, 12)))).toEqual(new Set(['HTTP/1.1 429']));
  expect(answers[0]).toMatch(/\r\nRetry-After: 1\r\n/);
  expect(answers[0]).toContain('"code":"rate_limited"');
  expect(lookUps).toBe(0);
});

describe('over two replicas', () => {
  const caller = { apiKeyId: 'key', scopes: ['admin' as const], domainId: null };
  let asked = 0;
  const replica = (prefix: string): Doorkeeper =>
    createDoorkeeper({
      authenticate: (bearer) => {
        asked += 1;
        return Promise.resolve(bearer.startsWith('sk_good') ? caller : undefined);
      },
      buckets: createSharedBuckets({ redis, prefix, now: Date.now }),
      limits: { ...REQUEST_LIMITS, keys: { perSecond: 1, burst: 20 }, strangers: { perSecond: 1, burst: 10 } },
      marks: createSharedMarks(redis, prefix),
      now: Date.now,
    });

  test('who guesses has as many tries as at one, and a good key known to one is known to the other', async () => {
    const prefix = `${stores.redisPrefix}-guess`;
    const two = [replica(prefix), replica(prefix)];
    await two[0]!.require('sk_good_key_of_theirs', '192.0.2.1', 'admin');
    asked = 0;
    const tries = await Promise.allSettled(
      Array.from({ length: 60 }, (_, i) => two[i % 2]!.require(`sk_bogus_${i}_of_sixty`, '192.0.2.1', 'admin')),
    );
    const codes = tries.map((t) => (t.status === 'rejected' ? (t.reason as SwitchyardError).code : 'let in'));
    expect(codes.filter((c) => c === 'unauthorized').length).toBeLessThanOrEqual(12);
    expect(asked).toBe(codes.filter((c) => c === 'unauthorized').length);
    // The other replica has never seen it, and its address is shut.
    expect((await two[1]!.require('sk_good_key_of_theirs', '192.0.2.1', 'admin')).caller).toBe(caller);
    await expect(two[1]!.require('sk_good_key_of_another', '192.0.2.1', 'admin')).rejects.toMatchObject({
      code: 'rate_limited',
    });
    expect((await two[1]!.require('sk_good_key_of_another', '192.0.2.2', 'admin')).caller).toBe(caller);
  });

  test('a key spends what it may once, whichever replica it asks', async () => {
    const prefix = `${stores.redisPrefix}-spend`;
    const two = [replica(prefix), replica(prefix)];
    const asks = await Promise.allSettled(
      Array.from({ length: 60 }, (_, i) => two[i % 2]!.require('sk_good_key_that_asks', '192.0.2.1', 'admin')),
    );
    const let_in = asks.filter(({ status }) => status === 'fulfilled').length;
    expect(let_in).toBeGreaterThanOrEqual(20);
    expect(let_in).toBeLessThanOrEqual(24);
  });

  test('a key that is dead is a stranger again, also where it was marked as good', async () => {
    const prefix = `${stores.redisPrefix}-dead`;
    let isAlive = true;
    const open = () =>
      createDoorkeeper({
        authenticate: () => Promise.resolve(isAlive ? caller : undefined),
        buckets: createSharedBuckets({ redis, prefix, now: Date.now }),
        limits: { ...REQUEST_LIMITS, strangers: { perSecond: 0.001, burst: 3 } },
        marks: createSharedMarks(redis, prefix),
        now: Date.now,
      });
    await open().require('sk_soon_dead_and_gone', '192.0.2.9', 'admin');
    isAlive = false;
    const again = open();
    const codes: string[] = [];
    for (let i = 0; i < 8; i += 1) {
      await again
        .require('sk_soon_dead_and_gone', '192.0.2.9', 'admin')
        .catch((e: SwitchyardError) => codes.push(e.code));
    }
    expect(codes.filter((code) => code === 'unauthorized')).toHaveLength(4); // one by the mark, three by the bucket
    expect(codes.slice(4)).toEqual(Array(4).fill('rate_limited'));
  });
});

describe('at the doors of nodes', () => {
  let server: Server;
  let port: number;
  let admissions = 0;

  beforeAll(async () => {
    const spied = api.db;
    spied.on('query', ({ sql }: { sql: string }) => {
      if (/from "nodes"/.test(sql)) admissions += 1;
    });
    const deps: Partial<EndpointDeps> = {
      db: spied,
      logger,
      joinToken: 'join-token-of-the-test',
      guard: createCredentialGuard({ buckets: createLocalBuckets(() => 0), trustedProxies: [], now: Date.now }),
      onNodeSeen: () => undefined,
    };
    const entrance = createFreeswitchEndpoints(deps as EndpointDeps);
    server = createServer((request, response) => {
      if (!entrance(request, response)) response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });

  test('wrong passwords are looked up a hundred times, then refused without a look', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 260; i += 1) {
      const authorization = `Basic ${Buffer.from(`node-${i}:token.wrong-secret-of-${i}`).toString('base64')}`;
      const door = i % 2 === 0 ? 'xml' : 'cdr';
      const answer = await fetch(`http://127.0.0.1:${port}/freeswitch/${door}`, {
        method: 'POST',
        headers: { authorization },
        body: 'section=directory',
      });
      statuses.push(answer.status);
      if (answer.status === 429) expect(answer.headers.get('retry-after')).toBe('1');
      await answer.text();
    }
    expect(statuses.filter((s) => s === 401)).toHaveLength(100);
    expect(statuses.filter((s) => s === 429)).toHaveLength(160);
    expect(admissions).toBe(100);
  });

  test('nothing of a body is read before the credentials counted', async () => {
    const answered = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString();
        if (text.includes('\r\n\r\n')) {
          socket.destroy();
          resolve(text);
        }
      });
      socket.on('error', reject);
      // A body is announced and never comes: who waits for it does not answer.
      socket.write('POST /freeswitch/xml HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nsection=');
    });
    expect(answered).toMatch(/^HTTP\/1\.1 4(01|29) /);
    expect(answered.toLowerCase()).toContain('connection: close');
  });
});

describe('an address', () => {
  const from = (remoteAddress: string, forwarded?: string, trusted: string[] = ['127.0.0.0/8', '10.0.0.0/8', '::1']) =>
    readClientAddress(
      { headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }, socket: { remoteAddress } },
      listNetworks(trusted),
    );

  test('is what the nearest trusted proxy says, and never what somebody else wrote before it', () => {
    expect(from('192.0.2.1', '198.51.100.1')).toBe('192.0.2.1');
    expect(from('127.0.0.1', '198.51.100.1')).toBe('198.51.100.1');
    expect(from('::ffff:127.0.0.1', '203.0.113.9, 198.51.100.1, 10.1.1.1')).toBe('198.51.100.1');
    expect(from('::1', 'rubbish')).toBe('::1');
    expect(from('127.0.0.1')).toBe('127.0.0.1');
    expect(from('127.0.0.1', '198.51.100.1', [])).toBe('127.0.0.1');
  });

  test('counts as one with all of its /64', () => {
    expect(limitedBy('192.0.2.1')).toBe('192.0.2.1');
    expect(limitedBy('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(limitedBy('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
    expect(limitedBy('2001:DB8::1')).toBe('2001:db8:0:0::/64');
    expect(limitedBy('::1')).toBe('0:0:0:0::/64');
    expect(limitedBy('::ffff:c000:201')).toBe('192.0.2.1');
    expect(limitedBy('fe80::1%eth0')).toBe('fe80:0:0:0::/64');
  });
});

test('the admin key is still good after all that', async () => {
  expect((await api.call('GET', '/v1/domains', undefined, { authorization: `Bearer ${ADMIN_KEY}` })).status).toBe(200);
});
