/** Who may enter: nodes by token and secret, users by password, and what is said of those who may not. */
import { randomBytes } from 'node:crypto';
import { useStores } from '../stores';
import { DOMAIN, JOIN_TOKEN, openYard, passwordOf, until, type Node, type Yard } from './harness';

let yard: Yard;
afterAll(() => yard?.close());
const stores = useStores();
let one: Node;
let two: Node;

beforeAll(async () => {
  yard = await openYard(stores);
  [one, two] = [await yard.addNode('one'), await yard.addNode('two')];
});

const secret = (): string => randomBytes(16).toString('hex');
const configuration = { section: 'configuration', tag_name: 'configuration', key_name: 'name', key_value: 'acl.conf' };

test.each([
  ['an unknown name with a wrong token', 'mallory', () => `wrong-token-of-someone.${secret()}`],
  ['an unknown name without a token', 'mallory', () => secret()],
  ['an unknown name with the token and no secret', 'mallory', () => `${JOIN_TOKEN}.`],
  ['a known name with another secret and the token, while it serves', 'one', () => `${JOIN_TOKEN}.${secret()}`],
  ['a name that is none', '../one', () => `${JOIN_TOKEN}.${secret()}`],
])('%s is refused, and its password is not logged', async (_who, name, passwordOfIt) => {
  yard.lines.length = 0;
  const password = passwordOfIt();
  const before = (await yard.api('GET', '/v1/nodes')).body.items.length;
  for (const url of [one.xmlUrl, `${yard.url}/freeswitch/xml`]) {
    const answer = await yard.askXml({ name, password, xmlUrl: url }, configuration);
    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain('<configuration');
  }
  expect((await yard.sendCdr({ name, password } as Node, '{}')).status).toBe(401);
  expect((await yard.api('GET', '/v1/nodes')).body.items).toHaveLength(before);
  const log = yard.lines.join('');
  expect(log).toContain('a node was refused');
  for (const part of password.split('.').filter(Boolean)) expect(log).not.toContain(part);
});

test('the log says why a node may not enter, and what to do', async () => {
  yard.lines.length = 0;
  await yard.askXml({ name: 'one', password: `${JOIN_TOKEN}.${secret()}`, xmlUrl: one.xmlUrl }, configuration);
  await yard.askXml({ name: 'one', password: `wrong-token.${secret()}`, xmlUrl: one.xmlUrl }, configuration);
  await yard.askXml({ name: 'three', password: `wrong-token.${secret()}`, xmlUrl: one.xmlUrl }, configuration);
  const log = yard.lines.join('');
  expect(log).toContain('a node of that name is serving with another secret: stop that one first');
  expect(log).toContain('it shows no valid join token, and not the secret it entered with');
  expect(log).toContain('it shows no valid join token"');
});

test('a node without credentials, or with a URL that says nonsense, is told so', async () => {
  const plain = await fetch(one.xmlUrl, { method: 'POST', body: 'section=configuration' });
  expect(plain.status).toBe(401);
  expect(plain.headers.get('www-authenticate')).toContain('Basic');
  const wrong = {
    name: 'three',
    password: `${JOIN_TOKEN}.${secret()}`,
    xmlUrl: one.xmlUrl.replace(/esl=\d+/, 'esl=0'),
  };
  const answer = await yard.askXml(wrong, configuration);
  expect([answer.status, answer.text]).toEqual([400, expect.stringContaining('esl')]);
});

test('a node that is drained takes no new call, is taken back, and is removed when nothing is left on it', async () => {
  await yard.addPhone(one, 'ann', { answerAfterMs: 20 });
  const drained = await yard.api('POST', `/v1/nodes/${one.id}/drain`, { deadlineSeconds: 60 });
  expect(drained.body).toMatchObject({ state: 'draining', drainDeadlineAt: expect.any(String) });
  const first = await yard.call('user:ann', '9196');
  const answered = await yard.callIs(first.id, 'answered');
  expect(answered).toMatchObject({ node: 'two' }); // its phone is still reached there
  expect(new Set(answered.legs.map((leg) => leg.node))).toEqual(new Set(['one', 'two']));
  const why = await yard.must(200, 'GET', `/v1/calls/${first.id}/placement`);
  expect(why.decisions[0].explanation).toContain('one: not possible, because it takes no new calls (draining).');
  expect((await yard.api('DELETE', `/v1/nodes/${two.id}`)).body.detail).toBe('Node two serves: drain it first.');
  expect((await yard.api('DELETE', `/v1/nodes/${one.id}`)).body.detail).toMatch(
    /^Node one still has calls.* wait until/,
  );
  expect((await yard.api('POST', `/v1/nodes/${one.id}/resume`)).body.state).toBe('serving');
  expect((await yard.api('POST', `/v1/nodes/${one.id}/resume`)).body).toMatchObject({ status: 409, code: 'conflict' });
  expect((await yard.api('DELETE', `/v1/nodes/${one.id}`)).body).toMatchObject({ status: 409, code: 'conflict' });

  expect((await yard.api('POST', `/v1/nodes/${two.id}/drain`, {})).status).toBe(200);
  expect((await yard.api('DELETE', `/v1/nodes/${two.id}`)).status).toBe(409); // a call is on it
  await yard.hangUp(first.id);
  await yard.callIs(first.id, 'ended');
  expect((await yard.api('DELETE', `/v1/nodes/${two.id}`)).status).toBe(204);
  expect((await yard.api('GET', `/v1/nodes/${two.id}`)).body).toMatchObject({ status: 404, code: 'not_found' });
  const { body } = await yard.api('GET', '/v1/events?format=json&limit=1000');
  const types = body.items.filter((e: { nodeId: string }) => e.nodeId === two.id).map((e: { type: string }) => e.type);
  // On a machine that stands still it may be taken for down for a moment in between, and come back as it was.
  expect(types.slice(0, 2)).toEqual(['node.joining', 'node.serving']);
  expect(types.slice(-2)).toEqual(['node.draining', 'node.removed']);
  expect((await yard.readCall(first.id)).outcome).toBe('answered');
});

test('a machine made anew under an old name enters while the old one is down', async () => {
  const old = await yard.addNode('phoenix');
  await old.kill();
  await yard.nodeIs(old, 'down');
  const anew = { name: 'phoenix', xmlUrl: old.xmlUrl, password: `${JOIN_TOKEN}.${secret()}` };
  expect((await yard.askXml(anew, configuration)).status).toBe(200);
  await until('the old one is out', async () => (await yard.askXml(old, configuration)).status === 401);
});

test.each([
  ['a wrong password', { username: 'bob', password: 'not-the-password' }],
  ['an unknown user', { username: 'nobody', password: 'whatever-it-is' }],
  ['an unknown domain', { username: 'bob', password: passwordOf('bob'), domain: 'elsewhere.test' }],
  ['a disabled user', { username: 'off', password: passwordOf('off') }],
])('%s does not register', async (what, given: { username: string; password: string; domain?: string }) => {
  const { domain = DOMAIN, ...who } = given;
  if (what === 'a wrong password') await yard.addUser('bob');
  if (what === 'a disabled user') {
    const id = await yard.addUser('off');
    await yard.api('PATCH', `/v1/users/${id}`, { enabled: false });
  }
  yard.lines.length = 0;
  await expect(one.registerPhone({ ...who, domain })).rejects.toThrow('got 403');
  const log = yard.lines.join('');
  expect(log).not.toContain(who.password);
  expect(log).not.toMatch(/[0-9a-f]{32}"/); // no digest hash
  if (what !== 'a wrong password') {
    expect(log).toContain('a user was refused');
    expect(log).toContain(what === 'a disabled user' ? 'the user is disabled' : 'there is no such user');
  }
});

test('a user who is disabled while registered can neither call, nor be called, nor register again', async () => {
  const phone = await yard.addPhone(one, 'leaver', { answerAfterMs: 20 });
  await yard.addPhone(one, 'stayer', { answerAfterMs: 20 });
  const { body } = await yard.api('GET', `/v1/users?domain=${DOMAIN}&username=leaver`);
  expect((await yard.api('PATCH', `/v1/users/${body.items[0].id}`, { enabled: false })).status).toBe(200);
  expect(await phone.dial('stayer').answered).toBe(false);
  expect(await phone.refresh()).toBe(403);
  const asked = await yard.api('POST', '/v1/calls', { domain: DOMAIN, from: 'user:stayer', to: 'user:leaver' });
  expect(asked.body).toMatchObject({ status: 422, code: 'unprocessable' });
});
