import { storeBootstrapKey } from '../../../src/domains/api-keys/bootstrap';
import { createLogger } from '../../../src/infra/logger';
import { ADMIN_KEY, startApi, type TestApi } from '../../http/start-api';
import { useStores } from '../../stores';

const stores = useStores();
let api: TestApi;
/** Added to the clock by which keys expire. */
let laterMs = 0;
beforeAll(async () => {
  api = await startApi(stores, { keyClock: () => Date.now() + laterMs });
});
afterAll(() => api.close());

test('a key is shown once and kept only as a hash', async () => {
  const made = await api.call('POST', '/v1/api-keys', { name: 'robot', scope: 'admin' });
  expect(made.body.key).toMatch(/^sk_[\w-]{32}$/);
  const read = await api.call('GET', `/v1/api-keys/${made.body.id}`);
  expect(read.body.key).toBeUndefined();
  expect(read.body.hint).toBe(`${made.body.key.slice(0, 6)}…${made.body.key.slice(-4)}`);
  expect(JSON.stringify(await api.db('api_keys'))).not.toMatch(made.body.key);
});

test('a key that expired is refused', async () => {
  const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
  const made = await api.call('POST', '/v1/api-keys', { name: 'short', scope: 'admin', expiresAt });
  const bearer = { authorization: `Bearer ${made.body.key}` };
  expect((await api.call('GET', '/v1/domains', undefined, bearer)).status).toBe(200);
  laterMs = 3_600_000;
  expect((await api.call('GET', '/v1/domains', undefined, bearer)).status).toBe(401);
  laterMs = 0;
});

test('a revoked key is listed only where revoked keys are asked for, and is not revoked twice', async () => {
  const made = await api.call('POST', '/v1/api-keys', { name: 'gone', scope: 'admin' });
  const path = `/v1/api-keys/${made.body.id}`;
  expect((await api.call('DELETE', path)).status).toBe(204);
  expect((await api.call('DELETE', path)).status).toBe(404);
  const ids = async (query: string) =>
    (await api.call('GET', `/v1/api-keys${query}`)).body.items.map((k: { id: string }) => k.id);
  expect(await ids('')).not.toContain(made.body.id);
  expect(await ids('?revoked=true')).toContain(made.body.id);
});

test('the last admin key can not be revoked', async () => {
  const { body } = await api.call('GET', '/v1/api-keys?limit=200');
  const mine = body.items.find((k: { name: string }) => k.name === 'bootstrap');
  for (const key of body.items) if (key.id !== mine.id) await api.call('DELETE', `/v1/api-keys/${key.id}`);
  expect((await api.call('DELETE', `/v1/api-keys/${mine.id}`)).body.code).toBe('conflict');
  expect((await api.call('GET', '/v1/domains', undefined, { authorization: `Bearer ${ADMIN_KEY}` })).status).toBe(200);
});

test('a domain key needs a domain, and an admin key has none', async () => {
  expect((await api.call('POST', '/v1/api-keys', { name: 'x', scope: 'domain' })).body.code).toBe('invalid_request');
  const both = await api.call('POST', '/v1/api-keys', { name: 'x', scope: 'admin', domain: 'a.test' });
  expect(both.body.code).toBe('invalid_request');
});

describe('BOOTSTRAP_API_KEY', () => {
  const lines: string[] = [];
  const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
  const start = (key: string) =>
    storeBootstrapKey({ db: api.db, events: api.events, onKeysRevoked: api.ring.revoked, logger }, key, new Date());
  const statusOf = async (key: string) =>
    (await api.call('GET', '/v1/domains', undefined, { authorization: `Bearer ${key}` })).status;
  const [next, third] = ['the-next-bootstrap-key-0123', 'the-third-bootstrap-key-0123'];
  beforeEach(() => void (lines.length = 0));

  test('changed, it is the new admin key, and the one before is dead at once, told and in the events', async () => {
    expect(await statusOf(ADMIN_KEY)).toBe(200);
    await start(ADMIN_KEY);
    expect(lines).toEqual([]);
    await start(next);
    expect([await statusOf(next), await statusOf(ADMIN_KEY)]).toEqual([200, 401]);
    expect(lines.join('')).toMatch(/the key it was before is revoked/);
    const bearer = { authorization: `Bearer ${next}` };
    const path = '/v1/events?format=json&types=api_key.revoked&limit=1000';
    const { items } = (await api.call('GET', path, undefined, bearer)).body;
    expect(items.at(-1).data.apiKey).toMatchObject({ name: 'bootstrap', hint: expect.stringMatching(/^sk_tes/) });
  });

  test('one that was revoked is said to be void, and revokes nothing', async () => {
    await start(ADMIN_KEY);
    expect(lines.join('')).toMatch(/BOOTSTRAP_API_KEY is a key that was revoked/);
    expect([await statusOf(next), await statusOf(ADMIN_KEY)]).toEqual([200, 401]);
  });

  test('a key that only has the name is named, and not revoked', async () => {
    const bearer = { authorization: `Bearer ${next}` };
    const made = await api.call('POST', '/v1/api-keys', { name: 'bootstrap', scope: 'admin' }, bearer);
    await start(third);
    expect([await statusOf(third), await statusOf(next), await statusOf(made.body.key)]).toEqual([200, 401, 200]);
    expect(lines.join('')).toContain(`"apiKeyId":"${made.body.id}"`);
    expect(lines.join('')).toMatch(/perhaps a former BOOTSTRAP_API_KEY/);
  });

  test('a key of a domain is no admin key, and says so; no line holds a key', async () => {
    const bearer = { authorization: `Bearer ${third}` };
    await api.call('POST', '/v1/domains', { name: 'a.test' }, bearer);
    const made = await api.call('POST', '/v1/api-keys', { name: 'd', scope: 'domain', domain: 'a.test' }, bearer);
    await start(made.body.key);
    expect(lines.join('')).toMatch(/is the key of a domain, and no admin key/);
    expect(await statusOf(third)).toBe(200);
    for (const key of [made.body.key, third, next, ADMIN_KEY]) expect(lines.join('')).not.toContain(key);
  });
});
