import { connect } from 'node:net';
import { z } from 'zod';
import { SwitchyardError } from '../../src/errors';
import { defineRoute } from '../../src/infra/route';
import { useStores } from '../stores';
import { ADMIN_KEY, startApi, type TestApi } from './start-api';

const stores = useStores();
let api: TestApi;
/** Gives a client little time. */
let hurried: TestApi;

beforeAll(async () => {
  const fails = defineRoute({
    method: 'get',
    path: '/v1/test/fails',
    tag: 'Test',
    summary: 'Fails',
    scope: 'domain',
    answers: { 200: z.object({}) },
    handle: () => Promise.reject(new Error('the password is hunter2')),
  });
  api = await startApi(stores, { extra: [fails], bodyLimits: { maxBytes: 100_000, deadlineMs: 60_000 } });
  hurried = await startApi(stores, {
    bodyLimits: { maxBytes: 100_000, deadlineMs: 2000 },
    serverLimits: { headersMs: 1000, requestMs: 5000, checkMs: 100 },
  });
});
afterAll(async () => {
  await api.close();
  await hurried.close();
});

/** Guards against a server that says nothing and never closes. */
const HANGS_MS = 60_000;

/** Writes raw bytes and reads until a code is told or the server closes. */
function raw(parts: string[], at = api): Promise<string> {
  return new Promise((resolve) => {
    let said = '';
    const socket = connect(at.port, '127.0.0.1', () => parts.forEach((part) => socket.write(part)));
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(said);
    };
    const timer = setTimeout(done, HANGS_MS);
    socket.on('data', (chunk) => {
      said += chunk.toString();
      if (/"code":"\w+"/.test(said)) done();
    });
    socket.on('close', done);
    socket.on('error', done);
  });
}

describe('What can not be read is refused with a code, and changes nothing', () => {
  const cases: [string, unknown, Record<string, string>, number, string][] = [
    ['a body that is not JSON', '{"name": ', {}, 400, 'invalid_json'],
    ['a body that is a list', '[]', {}, 400, 'invalid_json'],
    ['a body of broken UTF-8', Buffer.from([0x7b, 0xff, 0x7d]).toString('latin1'), {}, 400, 'invalid_json'],
    ['an unknown field', { name: 'hostile.test', surprise: 1 }, {}, 400, 'invalid_request'],
    ['the field __proto__', '{"name":"hostile.test","__proto__":{"admin":true}}', {}, 400, 'invalid_request'],
    ['a wrong type', { name: 7 }, {}, 400, 'invalid_request'],
    ['a name that is too long', { name: `${'a'.repeat(250)}.test` }, {}, 400, 'invalid_request'],
    ['a label that is too long', { name: `${'a'.repeat(64)}.test` }, {}, 400, 'invalid_request'],
    ['a name with a quote', { name: 'a".test' }, {}, 400, 'invalid_request'],
    ['a line break in a name for people', { name: 'hostile.test', displayName: 'a\nb' }, {}, 400, 'invalid_request'],
    ['a NUL', { name: 'hostile.test', displayName: 'a\u0000b' }, {}, 400, 'invalid_request'],
    ['half an emoji', { name: 'hostile.test', displayName: '\ud83d' }, {}, 400, 'invalid_request'],
    ['129 characters', { name: 'hostile.test', displayName: 'x'.repeat(129) }, {}, 400, 'invalid_request'],
    ['no body at all', undefined, {}, 400, 'invalid_request'],
    [
      'a form',
      'name=hostile.test',
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported_media_type',
    ],
    ['a compressed body', '{"name":"hostile.test"}', { 'content-encoding': 'gzip' }, 415, 'unsupported_media_type'],
    ['a body of 10 MB', `{"name":"${'a'.repeat(10_000_000)}"}`, {}, 413, 'payload_too_large'],
    ['no key', { name: 'hostile.test' }, { authorization: '' }, 401, 'unauthorized'],
    ['a wrong key', { name: 'hostile.test' }, { authorization: 'Bearer sk_0123456789abcdef0123' }, 401, 'unauthorized'],
    ['a bad Idempotency-Key', { name: 'hostile.test' }, { 'idempotency-key': 'x'.repeat(300) }, 400, 'invalid_request'],
  ];
  test.each(cases)('%s', async (_name, body, headers, status, code) => {
    const answer = await api.call('POST', '/v1/domains', body, headers);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toMatch('application/problem+json');
    expect(answer.body).toMatchObject({ status, code, requestId: answer.headers.get('x-request-id') });
    expect(answer.body.fix.length).toBeGreaterThan(5);
    expect((await api.call('GET', '/v1/domains/hostile.test')).status).toBe(404);
  });

  test('a compressed body is told of its encoding, not of its type', async () => {
    const answer = await api.call('POST', '/v1/domains', '{"name":"hostile.test"}', { 'content-encoding': 'gzip' });
    expect(answer.body).toMatchObject({
      detail: 'Content-Encoding "gzip" is not supported.',
      fix: 'Send the body without Content-Encoding.',
    });
  });

  test('every fault of a body is named at once, with its path', async () => {
    const { body } = await api.call('POST', '/v1/domains', { name: 'ok.test', displayName: 5, extra: 1 });
    expect(body.errors.map((e: { path: string }) => e.path).sort()).toEqual(['displayName', 'extra']);
  });

  test('unknown query fields, bad cursors, repeated and out-of-range fields', async () => {
    for (const query of ['surprise=1', 'limit=0', 'limit=x', 'limit=1&limit=2', 'cursor=%00', 'cursor=abc']) {
      const answer = await api.call('GET', `/v1/domains?${query}`);
      expect([query, answer.status]).toEqual([query, 400]);
    }
  });

  test('a path that can name nothing is not found', async () => {
    for (const path of [
      '/v1/users/1',
      '/v1/users/%00',
      '/v1/nothing',
      '/v1/domains/%E9',
      '/v1/domains/%00',
      '/nothing',
    ]) {
      const answer = await api.call('GET', path);
      expect([path, answer.status >= 400 && answer.status < 500]).toEqual([path, true]);
      expect(answer.body.code).toBeDefined();
    }
  });
});

describe('A slow client', () => {
  const head = `POST /v1/domains HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ADMIN_KEY}\r\nContent-Type: application/json\r\n`;

  test('that stops within its body gets 408 with a code, and nothing is made', async () => {
    const said = await raw([`${head}Content-Length: 30\r\n\r\n{"name":"slow`], hurried);
    expect(said).toMatch(/^HTTP\/1.1 408 /);
    expect(said).toMatch('"code":"request_timeout"');
  });

  test('that stops within its headers gets 408 with a code', async () => {
    const said = await raw(['GET /v1/domains HTTP/1.1\r\nHost: x\r\n'], hurried);
    expect(said).toMatch(/^HTTP\/1.1 408 /);
    expect(said).toMatch('"code":"request_timeout"');
  });

  test('that does not speak HTTP gets 400 with a code', async () => {
    expect(await raw(['\u0000\u0001nonsense\r\n\r\n'])).toMatch('"code":"invalid_request"');
  });

  test('with 10 MB in chunks of no announced length gets 413', async () => {
    const chunk = `10000\r\n${'a'.repeat(65536)}\r\n`;
    const parts = [`${head}Transfer-Encoding: chunked\r\n\r\n`, ...Array<string>(40).fill(chunk)];
    expect(await raw(parts)).toMatch('"code":"payload_too_large"');
  });
});

describe('The rest of the manners', () => {
  test('a wrong method is answered with the right ones', async () => {
    const answer = await api.call('PUT', '/v1/domains', {});
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('POST, GET, HEAD, OPTIONS');
    expect(answer.body.code).toBe('method_not_allowed');
  });

  test('a fault of ours is told as internal, and nothing of it is shown', async () => {
    const answer = await api.call('GET', '/v1/test/fails');
    expect([answer.status, answer.body.code]).toEqual([500, 'internal']);
    expect(JSON.stringify(answer.body)).not.toMatch('hunter2');
  });

  test('neither keys nor passwords nor queries reach the log', async () => {
    await api.call('POST', '/v1/domains', { name: 'logged.test' });
    const made = await api.call('POST', '/v1/users', {
      domain: 'logged.test',
      username: '1001',
      password: 'very-secret-password',
    });
    expect(made.status).toBe(201);
    await api.call('GET', '/v1/users?username=query-secret');
    const log = api.lines.join('');
    expect(log).toMatch('/v1/users');
    for (const secret of [ADMIN_KEY, 'very-secret-password', 'query-secret']) expect(log).not.toMatch(secret);
  });

  test('a key that asks too often is told when to come back', async () => {
    // Its clock stands still: however long the five take, none of the second's tokens comes back.
    const strict = await startApi(stores, { requestLimits: { keys: { perSecond: 1, burst: 3 } }, now: () => 0 });
    const answers = [];
    for (let i = 0; i < 5; i += 1) answers.push(await strict.call('GET', '/v1/domains'));
    await strict.close();
    expect(answers.map((a) => a.status)).toEqual([200, 200, 200, 429, 429]);
    expect(answers[4]!.headers.get('retry-after')).toBe('1');
    expect(answers[4]!.body.code).toBe('rate_limited');
  });

  test('who guesses keys behind a trusted proxy uses up their own tries, and nobody believes a proxy that is not named', async () => {
    const guess = (at: TestApi, who: string) =>
      at.call('GET', '/v1/domains', undefined, { authorization: 'Bearer sk_wrong', 'x-forwarded-for': who });
    for (const [trustedProxies, statusOfOther] of [
      [['127.0.0.0/8', '::1'], 401],
      [[], 429],
    ] as const) {
      const behind = await startApi(stores, { trustedProxies, now: () => 0 });
      for (let i = 0; i < 50; i += 1) expect((await guess(behind, '192.0.2.1')).status).toBe(401);
      expect((await guess(behind, '192.0.2.1')).status).toBe(429);
      expect((await guess(behind, '192.0.2.2')).status).toBe(statusOfOther);
      await behind.close();
    }
  });

  test('health and readiness need no key, and tell a stranger nothing else; metrics are not there', async () => {
    const open = { authorization: '' };
    expect((await api.call('GET', '/healthz', undefined, open)).body).toEqual({ status: 'ok' });
    expect((await api.call('GET', '/readyz', undefined, open)).body).toEqual({ status: 'ready' });
    for (const headers of [open, {}]) {
      expect((await api.call('GET', '/metrics', undefined, headers)).body.code).toBe('not_found');
    }
    const sick = await startApi(stores, { ready: () => Promise.reject(new SwitchyardError('unavailable')) });
    expect((await sick.call('GET', '/readyz')).status).toBe(503);
    await sick.close();
  });

  test('with Postgres away, every route answers 503 and nothing is told not found', async () => {
    const away = await startApi(
      { databaseUrl: 'postgres://x:x@127.0.0.1:1/none', redisUrl: stores.redisUrl, redisPrefix: stores.redisPrefix },
      { authenticate: () => Promise.resolve({ apiKeyId: '0', scopes: ['admin'], domainId: null }) },
    );
    const id = '019aa000-0000-7000-8000-000000000000';
    const asked: [string, string, unknown?][] = [
      ['GET', '/v1/domains'],
      ['GET', '/v1/domains/a.test'],
      ['POST', '/v1/domains', { name: 'a.test' }],
      ['GET', `/v1/users/${id}`],
      ['DELETE', `/v1/users/${id}`],
      ['GET', '/v1/events'],
      ['GET', `/v1/api-keys/${id}`],
    ];
    for (const [method, path, body] of asked) {
      const answer = await away.call(method, path, body);
      expect([path, answer.status, answer.body.code]).toEqual([path, 503, 'unavailable']);
    }
    const keyed = await away.call('POST', '/v1/domains', { name: 'a.test' }, { 'idempotency-key': 'k' });
    expect(keyed.status).toBe(503);
    await away.close();
  });
});
