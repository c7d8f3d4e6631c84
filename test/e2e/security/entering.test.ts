/** Who may enter: nodes by token and secret, users by password, and what is said of those who may not. */
import { randomUUID } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import { enrolNode, enrolUrlOf, makeNodeSecret } from '../../../scripts/nodes/enrol';
import { useStores } from '../../stores';
import { DOMAIN, JOIN_TOKEN, startApp, passwordOf, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let one: Node;
let two: Node;

beforeAll(async () => {
  app = await startApp(stores);
  [one, two] = [await app.addNode('one'), await app.addNode('two')];
});

const configuration = { section: 'configuration', tag_name: 'configuration', key_name: 'name', key_value: 'acl.conf' };

interface Asking {
  name: string;
  password: string;
  xmlUrl: string;
}
const strangerAt = (xmlUrl: string, name = 'stranger'): Asking => ({ name, xmlUrl, password: makeNodeSecret() });
const enrol = (node: Asking, token?: string) => enrolNode({ ...node, secret: node.password }, token);
const makeToken = async (name: string, more = {}): Promise<{ id: string; token: string }> =>
  app.must(201, 'POST', '/v1/nodes/tokens', { name, ...more });
const listed = async (name: string) =>
  (await app.must(200, 'GET', '/v1/nodes')).items.find((n: { name: string }) => n.name === name);
/** A machine of its own, which nothing listens at. */
const elsewhere = (change: Record<string, string> = {}): string => {
  const url = new URL(one.xmlUrl);
  for (const [key, value] of Object.entries({ host: '198.51.100.9', ...change })) url.searchParams.set(key, value);
  return url.toString();
};
const settingOf = async (node: Asking, core: string): Promise<string> => {
  // As a real node does: only some of its modules say which process they are of, and the Event Socket's does not.
  if (core) await app.askXml(node, { ...configuration, key_value: 'sofia.conf', 'Core-UUID': core });
  const asked = { ...configuration, key_value: 'event_socket.conf' };
  return /name="password" value="([^"]+)"/.exec((await app.askXml(node, asked)).text)![1]!;
};

test.each([
  ['an unknown name', 'mallory', () => makeNodeSecret()],
  ['an unknown name that shows the join token as nodes once did', 'mallory', () => `${JOIN_TOKEN}.${makeNodeSecret()}`],
  ['a known name with another secret', 'one', () => makeNodeSecret()],
  ['a name that is none', '../one', () => makeNodeSecret()],
])('%s is not answered, and its password is not logged', async (_who, name, passwordOfIt) => {
  app.lines.length = 0;
  const password = passwordOfIt();
  const before = (await app.api('GET', '/v1/nodes')).body.items.length;
  for (const url of [one.xmlUrl, `${app.url}/freeswitch/xml`]) {
    const answer = await app.askXml({ name, password, xmlUrl: url }, configuration);
    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain('<configuration');
  }
  expect((await app.sendCdr({ name, password } as Node, '{}')).status).toBe(401);
  expect((await app.api('GET', '/v1/nodes')).body.items).toHaveLength(before);
  const log = app.lines.join('');
  expect(log).toContain('a node was refused');
  for (const part of password.split('.').filter(Boolean)) expect(log).not.toContain(part);
});

test('a token lets one node of its name in, once; afterwards the node has its own secret alone', async () => {
  const { token, ...shown } = await makeToken('solo', { expiresInSeconds: 60 });
  expect((await app.must(200, 'GET', '/v1/nodes/tokens')).items).toEqual([shown]);
  const node = strangerAt(elsewhere(), 'solo');
  expect(await enrol(node)).toBe('no_token');
  expect(await enrol(strangerAt(elsewhere(), 'other'), token)).toBe('no_token');
  expect(await enrol(node, token)).toBe('in');
  expect((await app.must(200, 'GET', '/v1/nodes/tokens')).items).toEqual([]);
  expect((await app.askXml(node, configuration)).status).toBe(200);
  expect(await enrol(node)).toBe('in'); // as often as it starts
  expect(await enrol(strangerAt(elsewhere(), 'solo'), token).catch((e: Error) => e.message)).toMatch(/409 conflict/);
  const rows = JSON.stringify(await stores.db('node_tokens')) + JSON.stringify(await stores.db('nodes'));
  for (const secret of [token, node.password]) expect(rows + app.lines.join('')).not.toContain(secret);
  const { id } = await listed('solo');
  expect((await app.api('DELETE', `/v1/nodes/${id}`)).status).toBe(204);
  expect(await enrol(node, token)).toBe('no_token'); // a node that was removed is out
  await until('it is out', async () => (await app.askXml(node, configuration)).status === 401);
});

test('a node that was started by the version before is answered until it is started again; nobody else is', async () => {
  const old = { ...one, name: 'one', xmlUrl: one.xmlUrl, password: `a-join-token-of-old.${one.password}` };
  expect((await app.askXml(old, configuration)).status).toBe(200);
  const wrong = { ...old, password: `${one.password}.${makeNodeSecret()}` };
  expect((await app.askXml(wrong, configuration)).status).toBe(401);
});

test('of many machines that come with one token at once one is in', async () => {
  const { token } = await makeToken('race');
  const all = Array.from({ length: 8 }, () => strangerAt(elsewhere(), 'race'));
  const said = await Promise.all(all.map((node) => enrol(node, token).catch(() => 'conflict')));
  expect(said.filter((state) => state === 'in')).toHaveLength(1);
  const winner = all[said.indexOf('in')]!;
  for (const node of all) expect((await app.askXml(node, configuration)).status).toBe(node === winner ? 200 : 401);
  await app.api('DELETE', `/v1/nodes/${(await listed('race')).id}`);
});

test('a token that was taken back, or is over, lets nobody in', async () => {
  const [back, over] = [await makeToken('late'), await makeToken('late')];
  expect((await app.api('DELETE', `/v1/nodes/tokens/${back.id}`)).status).toBe(204);
  expect((await app.api('DELETE', `/v1/nodes/tokens/${back.id}`)).status).toBe(404);
  await stores.db('node_tokens').where({ id: over.id }).update({ expires_at: new Date() });
  for (const { token } of [back, over]) expect(await enrol(strangerAt(elsewhere(), 'late'), token)).toBe('no_token');
  expect(await listed('late')).toBeUndefined();
});

test('a node that is enrolled before it is known where it runs enters with its first question', async () => {
  const node = strangerAt(`${app.url}/freeswitch/xml`, 'roaming');
  expect(await enrol(node, (await makeToken('roaming')).token)).toBe('in');
  expect(await enrol(node)).toBe('in');
  expect(await listed('roaming')).toBeUndefined();
  expect((await app.askXml({ ...node, xmlUrl: elsewhere() }, configuration)).status).toBe(200);
  const { id } = await listed('roaming');
  await app.api('DELETE', `/v1/nodes/${id}`);
  expect(await enrol({ ...node, xmlUrl: elsewhere() })).toBe('no_token');
});

test('a node that an admin has registered beforehand shows the secret that was shown once', async () => {
  const made = await app.must(201, 'POST', '/v1/nodes', { name: 'registered', host: '198.51.100.9' });
  const { username, password } = made.credentials;
  expect((await app.askXml({ name: username, password, xmlUrl: elsewhere() }, configuration)).status).toBe(200);
  const refused = await app.api('POST', '/v1/nodes', { name: 'bad', host: '169.254.169.254' });
  expect(refused).toMatchObject({ status: 422, body: { code: 'unprocessable' } });
  await app.api('DELETE', `/v1/nodes/${made.node.id}`);
});

test.each([
  ['a link-local host', { host: '169.254.169.254' }, 'link-local'],
  ['no host at all', { host: '0.0.0.0' }, "no host's own address"],
  ['a multicast host', { host: '224.0.0.1' }, "no host's own address"],
  ['a link-local host that is written as another', { host: '::ffff:169.254.169.254' }, 'link-local'],
  ['no host at all, written as another', { host: '::ffff:0.0.0.0' }, "no host's own address"],
  ['a public address that is link-local', { public: 'fe80::1' }, 'link-local'],
  ['the port of Postgres', { esl: 'POSTGRES' }, 'the port of a store'],
  ['the port of Redis', { sip: 'REDIS' }, 'the port of a store'],
  ['browsers who are sent elsewhere', { wsUrl: 'wss://evil.example.org/' }, 'NODE_WS_HOSTS'],
  ['browsers who are sent elsewhere with a password', { wsUrl: 'ws://198.51.100.9@evil.example.org' }, 'wsUrl'],
  ['more capacity than any node has', { capacity: '1000000' }, 'NODE_MAX_UNITS'],
])('%s is no address of a node, and its token is still good', async (_what, change: Record<string, string>, why) => {
  const portOf = (url: string): string => new URL(url).port;
  const ports = { POSTGRES: portOf(stores.databaseUrl), REDIS: portOf(stores.redisUrl) } as Record<string, string>;
  const wrong = Object.fromEntries(Object.entries(change).map(([key, value]) => [key, ports[value] ?? value]));
  const { id, token } = await makeToken('placed');
  const node = strangerAt(elsewhere(wrong), 'placed');
  const said = await enrol(node, token).catch((error: Error) => error.message);
  expect(said).toMatch(/^placed was not enrolled: 400 invalid_request: /);
  expect(said).toContain(why);
  expect(await listed('placed')).toBeUndefined();
  // One that is in can't move there either.
  const moved = await app.askXml(
    { ...two, name: 'two', password: two.password, xmlUrl: elsewhere(wrong) },
    configuration,
  );
  expect([moved.status, moved.text]).toEqual([400, expect.stringContaining(why)]);
  expect((await listed('two')).host).toBe('127.0.0.1');
  expect((await app.api('DELETE', `/v1/nodes/tokens/${id}`)).status).toBe(204);
});

const at = (node: Asking, change: Record<string, string>): Asking => {
  const url = new URL(node.xmlUrl);
  for (const [key, value] of Object.entries(change)) url.searchParams.set(key, value);
  return { name: node.name, password: node.password, xmlUrl: url.toString() };
};
const placeOf = async (name: string): Promise<[string, number]> => {
  const row = await stores.db('nodes').where({ name }).first();
  return [row.host as string, row.esl_port as number];
};

test('a node that is up moves nowhere but to where it asks from, and is told what to do', async () => {
  const before = await placeOf('two');
  const away = at(two, { host: '8.8.4.4' });
  const said = await enrol(away).catch((error: Error) => error.message);
  expect(said).toContain('409 conflict');
  expect(said).toContain('stop it and wait until it is down, or send the request from 8.8.4.4 itself');
  expect((await app.askXml(away, configuration)).status).toBe(409);
  expect(await placeOf('two')).toEqual(before);
});

test("no node takes the place of another that is up: with none of that one's ports, and not as a new one either", async () => {
  const before = await placeOf('two');
  const port = (name: string): string => new URL(one.xmlUrl).searchParams.get(name)!;
  for (const name of ['esl', 'sip', 'internode']) {
    const change = { [name]: port(name) };
    const said = await enrol(at(two, change)).catch((error: Error) => error.message);
    expect(said).toContain('409 conflict');
    expect(said).toContain('Another node is at 127.0.0.1');
    expect((await app.askXml(at(two, change), configuration)).status).toBe(409);
  }
  expect(await placeOf('two')).toEqual(before);
  const { id, token } = await makeToken('double');
  expect(await enrol(strangerAt(one.xmlUrl, 'double'), token).catch(String)).toContain('409 conflict');
  expect(await listed('double')).toBeUndefined();
  expect((await app.api('DELETE', `/v1/nodes/tokens/${id}`)).status).toBe(204);
});

test('a node that is down comes back wherever it is now, and another one where it was', async () => {
  const old = await app.addNode('mover');
  await old.kill();
  await app.nodeIs(old, 'down');
  const away = at(old, { host: '198.51.100.8', esl: '8999' });
  expect(await enrol(away)).toBe('in');
  expect(await placeOf('mover')).toEqual(['198.51.100.8', 8999]);
  const back = at(old, {});
  expect(await enrol(back)).toBe('in');
  const next = strangerAt(old.xmlUrl, 'heir');
  expect(await enrol(next, (await makeToken('heir')).token)).toBe('in');
  for (const name of ['heir', 'mover']) await app.api('DELETE', `/v1/nodes/${(await listed(name)).id}`);
});

test('the log says why a node may not enter, and what to do', async () => {
  app.lines.length = 0;
  await enrol(strangerAt(one.xmlUrl, 'one'), JOIN_TOKEN).catch(() => undefined);
  await enrol(strangerAt(elsewhere(), 'three'), 'wrong-token-of-someone');
  await enrol(strangerAt(elsewhere(), 'three'));
  await app.askXml(strangerAt(elsewhere(), 'three'), configuration);
  const log = app.lines.join('');
  expect(log).toContain('a node of that name is serving with another secret: stop that one first');
  expect(log).toContain('its token is none for this name, was used, or is over');
  expect(log).toContain('it shows no token');
  expect(log).toContain('it was not enrolled with this secret: enrol it first');
});

test('a node without credentials, or with a URL that says nonsense, is told so', async () => {
  for (const url of [one.xmlUrl, enrolUrlOf(one.xmlUrl)]) {
    const plain = await fetch(url, { method: 'POST', body: 'section=configuration' });
    expect(plain.status).toBe(401);
    expect(plain.headers.get('www-authenticate')).toContain('Basic');
  }
  const said = await enrol(strangerAt(elsewhere({ esl: '0' })), JOIN_TOKEN).catch((error: Error) => error.message);
  expect(said).toMatch(/400 invalid_request: The node's URL: esl/);
  expect(await enrol(strangerAt(elsewhere({ host: 'node.example.org' })), JOIN_TOKEN).catch(String)).toContain('host');
  const short = { ...strangerAt(elsewhere()), password: 'short' };
  expect(await enrol(short, JOIN_TOKEN).catch(String)).toContain('16 to 256 characters');
});

describe('a node that waits for an admin', () => {
  let strict: App;
  afterAll(() => strict?.close());

  test('is not answered, not connected to and in no list of hosts, until somebody says yes', async () => {
    strict = await startApp(
      { databaseUrl: stores.databaseUrl, redisUrl: stores.redisUrl, redisPrefix: `${stores.redisPrefix}-strict` },
      { nodeApproval: 'join_token' },
    );
    let connections = 0;
    const door = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    await new Promise<void>((done) => door.listen(0, '127.0.0.2', done));
    const url = new URL(elsewhere({ host: '127.0.0.2', esl: String((door.address() as AddressInfo).port) }));
    const node = strangerAt(`${strict.url}${url.pathname}${url.search}`, 'waiting');
    expect(await enrol(node, JOIN_TOKEN)).toBe('pending');
    expect(await enrol(node)).toBe('pending');
    const asked = await strict.askXml(node, configuration);
    expect([asked.status, asked.text]).toEqual([
      403,
      expect.stringMatching(/^node_pending: The node .* waits for an admin/),
    ]);
    expect((await strict.sendCdr(node as unknown as Node, '{}')).status).toBe(403);
    expect((await app.askXml(one, configuration)).text).not.toContain('127.0.0.2');
    const { id, state } = await listed('waiting');
    expect(state).toBe('pending');
    expect((await strict.must(200, 'GET', '/v1/pool')).nodes).toContainEqual(
      expect.objectContaining({ name: 'waiting', state: 'pending' }),
    );
    expect((await strict.api('POST', `/v1/nodes/${id}/drain`, {})).status).toBe(409);
    expect(connections).toBe(0);

    expect(await strict.must(200, 'POST', `/v1/nodes/${id}/approve`)).toMatchObject({ state: 'joining' });
    expect((await strict.api('POST', `/v1/nodes/${id}/approve`)).status).toBe(409);
    expect(await enrol(node)).toBe('in');
    expect((await strict.askXml(node, configuration)).status).toBe(200);
    await until('it is connected to', () => connections > 0);
    const { items } = await strict.must(200, 'GET', '/v1/events?format=json&limit=1000');
    const types = items.filter((e: { nodeId: string }) => e.nodeId === id).map((e: { type: string }) => e.type);
    expect(types).toEqual(['node.pending', 'node.joining']);
    expect((await strict.api('DELETE', `/v1/nodes/${id}`)).status).toBe(204);
    await new Promise((done) => door.close(done));
  });

  test('a token for its name is the yes', async () => {
    const { token } = await makeToken('wanted');
    const node = strangerAt(elsewhere().replace(app.url, strict.url), 'wanted');
    expect(await enrol(node, token)).toBe('in');
    expect((await listed('wanted')).state).toBe('joining');
    await app.api('DELETE', `/v1/nodes/${(await listed('wanted')).id}`);
  });
});

test('each process of a node has a password of its own for its Event Socket, and no other answer has it', async () => {
  const node = strangerAt(elsewhere(), 'esl');
  await enrol(node, (await makeToken('esl')).token);
  const [first, second] = [randomUUID(), randomUUID()];
  const password = await settingOf(node, first);
  expect(password.length).toBeGreaterThanOrEqual(32);
  expect(await settingOf(node, first)).toBe(password); // it asks twice where it was given no answer
  const asked = await Promise.all([settingOf(node, second), settingOf(node, second)]);
  expect(new Set(asked).size).toBe(1);
  expect(asked[0]).not.toBe(password);
  for (const name of ['sofia.conf', 'acl.conf', 'json_cdr.conf'])
    expect((await app.askXml(node, { ...configuration, key_value: name })).text).not.toContain(asked[0]);
  await app.api('DELETE', `/v1/nodes/${(await listed('esl')).id}`);
});

test('a node that is drained takes no new call, is taken back, and is removed when nothing is left on it', async () => {
  await app.addPhone(one, 'ann', { answerAfterMs: 20 });
  const drained = await app.api('POST', `/v1/nodes/${one.id}/drain`, { deadlineSeconds: 60 });
  expect(drained.body).toMatchObject({ state: 'draining', drainDeadlineAt: expect.any(String) });
  const first = await app.call('user:ann', '9196');
  const answered = await app.callIs(first.id, 'answered');
  expect(answered).toMatchObject({ node: 'two' }); // its phone is still reached there
  expect(new Set(answered.legs.map((leg) => leg.node))).toEqual(new Set(['one', 'two']));
  const why = await app.must(200, 'GET', `/v1/calls/${first.id}/placement`);
  expect(why.decisions[0].explanation).toContain('one: not possible, because it takes no new calls (draining).');
  expect((await app.api('DELETE', `/v1/nodes/${two.id}`)).body.detail).toBe('Node two serves: drain it first.');
  expect((await app.api('DELETE', `/v1/nodes/${one.id}`)).body.detail).toMatch(
    /^Node one still has calls.* wait until/,
  );
  expect((await app.api('POST', `/v1/nodes/${one.id}/resume`)).body.state).toBe('serving');
  expect((await app.api('POST', `/v1/nodes/${one.id}/resume`)).body).toMatchObject({ status: 409, code: 'conflict' });
  expect((await app.api('DELETE', `/v1/nodes/${one.id}`)).body).toMatchObject({ status: 409, code: 'conflict' });

  expect((await app.api('POST', `/v1/nodes/${two.id}/drain`, {})).status).toBe(200);
  expect((await app.api('DELETE', `/v1/nodes/${two.id}`)).status).toBe(409); // a call is on it
  await app.hangUp(first.id);
  await app.callIs(first.id, 'ended');
  expect((await app.api('DELETE', `/v1/nodes/${two.id}`)).status).toBe(204);
  expect((await app.api('GET', `/v1/nodes/${two.id}`)).body).toMatchObject({ status: 404, code: 'not_found' });
  const { body } = await app.api('GET', '/v1/events?format=json&limit=1000');
  const types = body.items.filter((e: { nodeId: string }) => e.nodeId === two.id).map((e: { type: string }) => e.type);
  // On a machine that stands still it may be taken for down for a moment in between, and come back as it was.
  expect(types.slice(0, 2)).toEqual(['node.joining', 'node.serving']);
  expect(types.slice(-2)).toEqual(['node.draining', 'node.removed']);
  expect((await app.readCall(first.id)).outcome).toBe('answered');
});

test('a machine made anew under an old name enters while the old one is down', async () => {
  const old = await app.addNode('phoenix');
  const oldPassword = old.eslPassword;
  await old.kill();
  await app.nodeIs(old, 'down');
  const anew = strangerAt(old.xmlUrl, 'phoenix');
  expect(await enrol(anew)).toBe('no_token');
  expect(await enrol(anew, (await makeToken('phoenix')).token)).toBe('in');
  expect((await app.askXml(anew, configuration)).status).toBe(200);
  expect(await settingOf(anew, '')).not.toBe(oldPassword);
  await until('the old one is out', async () => (await app.askXml(old, configuration)).status === 401);
});

test.each([
  ['a wrong password', { username: 'bob', password: 'not-the-password' }],
  ['an unknown user', { username: 'nobody', password: 'whatever-it-is' }],
  ['an unknown domain', { username: 'bob', password: passwordOf('bob'), domain: 'elsewhere.test' }],
  ['a disabled user', { username: 'off', password: passwordOf('off') }],
])('%s does not register', async (what, given: { username: string; password: string; domain?: string }) => {
  const { domain = DOMAIN, ...who } = given;
  if (what === 'a wrong password') await app.addUser('bob');
  if (what === 'a disabled user') {
    const id = await app.addUser('off');
    await app.api('PATCH', `/v1/users/${id}`, { enabled: false });
  }
  app.lines.length = 0;
  await expect(one.registerPhone({ ...who, domain })).rejects.toThrow('got 403');
  const log = app.lines.join('');
  expect(log).not.toContain(who.password);
  expect(log).not.toMatch(/[0-9a-f]{32}"/); // no digest hash
  if (what !== 'a wrong password') {
    expect(log).toContain('a user was refused');
    expect(log).toContain(what === 'a disabled user' ? 'the user is disabled' : 'there is no such user');
  }
});

test('a user who is disabled while registered can neither call, nor be called, nor register again', async () => {
  const phone = await app.addPhone(one, 'leaver', { answerAfterMs: 20 });
  await app.addPhone(one, 'stayer', { answerAfterMs: 20 });
  const { body } = await app.api('GET', `/v1/users?domain=${DOMAIN}&username=leaver`);
  expect((await app.api('PATCH', `/v1/users/${body.items[0].id}`, { enabled: false })).status).toBe(200);
  expect(await phone.dial('stayer').answered).toBe(false);
  expect(await phone.refresh()).toBe(403);
  const asked = await app.api('POST', '/v1/calls', { domain: DOMAIN, from: 'user:stayer', to: 'user:leaver' });
  expect(asked.body).toMatchObject({ status: 422, code: 'unprocessable' });
});
