import { hashSipPassword, openDigest } from '../../../src/infra/secrets';
import { startApi, SECRET, type TestApi } from '../../http/start-api';
import { useStores } from '../../stores';

const stores = useStores();
let api: TestApi;
let domainKey: { authorization: string };
beforeAll(async () => {
  api = await startApi(stores);
  await api.call('POST', '/v1/domains', { name: 'Clinic.Test' });
  await api.call('POST', '/v1/domains', { name: 'school.test' });
  const key = await api.call('POST', '/v1/api-keys', { name: 'clinic', scope: 'domain', domain: 'clinic.test' });
  domainKey = { authorization: `Bearer ${key.body.key}` };
});
afterAll(() => api.close());

const make = (username: string, more: object = {}, headers = {}) =>
  api.call('POST', '/v1/users', { domain: 'clinic.test', username, password: 'correct-horse', ...more }, headers);

test('a user is made, read, changed and removed, and each is an event', async () => {
  const made = await make('1001', { displayName: 'Zoë 👩‍⚕️ Müller', callerNumber: '+4930123' });
  expect(made.status).toBe(201);
  expect(made.body).toMatchObject({ domain: 'clinic.test', username: '1001', enabled: true, registrations: [] });
  const path = made.headers.get('location')!;
  expect((await api.call('GET', path)).body).toEqual(made.body);
  expect((await api.call('PATCH', path, { enabled: false, displayName: 'Z' })).body).toMatchObject({
    enabled: false,
    displayName: 'Z',
    callerNumber: '+4930123',
  });
  expect((await api.call('DELETE', path)).status).toBe(204);
  expect((await api.call('GET', path)).body.code).toBe('not_found');
  const { body } = await api.call('GET', `/v1/events?format=json&domain=clinic.test&userId=${made.body.id}`);
  expect(body.items.map((e: { type: string }) => e.type)).toEqual(['user.created', 'user.updated', 'user.deleted']);
  expect(api.changed).toEqual(['clinic.test/1001', 'clinic.test/1001']);
});

test('a password is kept only as the digest SIP needs, sealed, and a new one is digested anew', async () => {
  const made = await make('1002');
  const login = { username: '1002', domain: 'clinic.test' };
  const kept = async () => (await api.db('users').where({ id: made.body.id }).first('ha1')).ha1 as string;
  const ha1 = async () => openDigest(SECRET, login, await kept());
  expect(await ha1()).toBe(hashSipPassword('1002', 'clinic.test', 'correct-horse'));
  await api.call('PATCH', `/v1/users/${made.body.id}`, { password: 'battery-staple' });
  expect(await ha1()).toBe(hashSipPassword('1002', 'clinic.test', 'battery-staple'));
  const all = JSON.stringify([await api.db('users'), await api.db('events')]);
  const hashes = ['correct-horse', 'battery-staple'].map((word) => hashSipPassword('1002', 'clinic.test', word));
  for (const secret of ['correct-horse', 'battery-staple', ...hashes]) expect(all).not.toMatch(secret);
  expect(JSON.stringify(made.body)).not.toMatch(await ha1());
});

test('where no password is given one is made, and shown this once', async () => {
  const made = await make('made', { password: undefined });
  expect(made.status).toBe(201);
  const { password } = made.body;
  expect(password).toMatch(/^[\w-]{24}$/);
  const row = await api.db('users').where({ id: made.body.id }).first('ha1');
  const login = { username: 'made', domain: 'clinic.test' };
  expect(openDigest(SECRET, login, row.ha1)).toBe(hashSipPassword('made', 'clinic.test', password));
  expect((await api.call('GET', `/v1/users/${made.body.id}`)).body.password).toBeUndefined();
  expect(JSON.stringify(await api.db('events'))).not.toContain(password);
  expect((await make('given')).body.password).toBeUndefined();
});

test('a password that others would guess is refused, with the field and the reason', async () => {
  const made = await make('1009', { displayName: 'Doctor Zhivago' });
  const path = `/v1/users/${made.body.id}`;
  for (const password of ['12345678', 'qwertyuiop', 'clinic.test', 'zhivago1', 'hippopotamus']) {
    for (const answer of [
      await make('weak', { password, displayName: 'Zhivago' }),
      await api.call('PATCH', path, { password }),
    ]) {
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
      expect(answer.body.errors).toEqual([
        {
          path: 'password',
          message: expect.stringMatching(/^is easy to guess: .+; (leave it out, and one is made|choose another)$/),
        },
      ]);
      expect(JSON.stringify(answer.body)).not.toContain(password);
    }
  }
});

test('a username is unique within its domain, not among domains', async () => {
  expect((await make('1003')).status).toBe(201);
  expect((await make('1003')).body.code).toBe('conflict');
  expect((await make('1003', { domain: 'school.test' })).status).toBe(201);
  expect((await make('1004', { domain: 'nowhere.test' })).body.code).toBe('not_found');
});

test.each(['', 'a b', 'a@b', '${system(touch x)}', 'a'.repeat(65), 'Jos%E9', '"><x/>', '1001\n'])(
  'The username %j is refused',
  async (username) => {
    expect((await make(username)).body.code).toBe('invalid_request');
  },
);

test('hostile text in a name for people stays text', async () => {
  const names = ['${system(touch x)}', '$${base_dir}', '"><x/>', 'Jos%E9', '😀'];
  for (const [i, displayName] of names.entries()) {
    const made = await make(`named-${i}`, { displayName });
    expect(made.body.displayName).toBe(displayName);
  }
});

test('a domain key sees its own users, and of the others not that they exist', async () => {
  const foreign = await make('2001', { domain: 'school.test' });
  const path = `/v1/users/${foreign.body.id}`;
  for (const [method, body] of [['GET'], ['PATCH', { enabled: false }], ['DELETE']] as const) {
    expect((await api.call(method, path, body, domainKey)).status).toBe(404);
  }
  expect((await make('2002', { domain: 'school.test' }, domainKey)).status).toBe(404);
  expect((await make('2003', { domain: undefined }, domainKey)).body.domain).toBe('clinic.test');
  expect((await api.call('GET', '/v1/users?domain=school.test', undefined, domainKey)).status).toBe(404);
  const { body } = await api.call('GET', '/v1/users?limit=200', undefined, domainKey);
  expect(new Set(body.items.map((u: { domain: string }) => u.domain))).toEqual(new Set(['clinic.test']));
  expect((await api.call('GET', '/v1/domains', undefined, domainKey)).body.items).toHaveLength(1);
  expect((await api.call('GET', '/v1/domains/school.test', undefined, domainKey)).status).toBe(404);
  expect((await api.call('POST', '/v1/domains', { name: 'x.test' }, domainKey)).body.code).toBe('forbidden');
  expect((await api.call('GET', '/v1/api-keys', undefined, domainKey)).body.code).toBe('forbidden');
});

test('a list is read page by page, each user once', async () => {
  await api.call('POST', '/v1/domains', { name: 'pages.test' });
  for (let i = 0; i < 7; i += 1) await make(`p${i}`, { domain: 'pages.test' });
  const seen: string[] = [];
  let cursor = '';
  do {
    const { body } = await api.call('GET', `/v1/users?domain=pages.test&limit=3${cursor && `&cursor=${cursor}`}`);
    seen.push(...body.items.map((u: { username: string }) => u.username));
    cursor = body.nextCursor ?? '';
  } while (cursor);
  expect(seen).toEqual(['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6']);
});

test('a domain takes its users and keys with it, but not while a call is going on', async () => {
  await api.call('POST', '/v1/domains', { name: 'going.test' });
  const user = await make('1', { domain: 'going.test' });
  const key = await api.call('POST', '/v1/api-keys', { name: 'k', scope: 'domain', domain: 'going.test' });
  const { domain_id } = await api.db('users').where({ id: user.body.id }).first();
  const call = {
    id: user.body.id,
    domain_id,
    origin: 'api',
    from_address: 'a',
    to_address: 'b',
    state: 'queued',
    place_before: new Date(),
  };
  await api.db('calls').insert(call);
  expect((await api.call('DELETE', '/v1/domains/going.test')).body.code).toBe('conflict');
  await api.db('calls').update({ state: 'ended', outcome: 'cancelled' });
  expect((await api.call('DELETE', '/v1/domains/going.test')).status).toBe(204);
  expect((await api.call('GET', `/v1/users/${user.body.id}`)).status).toBe(404);
  const bearer = { authorization: `Bearer ${key.body.key}` };
  expect((await api.call('GET', '/v1/users', undefined, bearer)).status).toBe(401);
  expect(api.changed).toContain('going.test/1');
});
