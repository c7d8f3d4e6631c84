/** Names that would be commands elsewhere arrive as text, or are refused; nothing of them is ever run. */
import { connectRaw, type RawClient } from '../../contract/peers/raw-client';
import { callerNameText } from '../../../src/freeswitch/xml';
import { inertText } from '../../../src/freeswitch/esl/escape';
import { parseDocument } from '../../../src/freeswitch/xml/document';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

let app: App;
let ear: RawClient | undefined;
afterAll(async () => {
  ear?.close();
  await app?.close();
});
const stores = useStores();
let node: Node;

beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
  ear = await connectRaw(node.eslPort);
  await ear.send(`auth ${node.eslPassword}`);
  await ear.send('event json CHANNEL_CREATE');
  await app.addPhone(node, 'bob', { answerAfterMs: 20 });
});

const NAMES = [
  '${system(touch x)}',
  '$${base_dir}',
  '"><x/>',
  "x',y=z}[a=b]|^^:",
  'Jos%E9',
  '%24%7Bsystem(touch x)%7D',
  '<?xml version="1.0"?>',
  '<!--#exec cmd="touch x" -->',
  ']]>&amp;&lt;',
  'Zoë 😀 王',
  '\\n\\${system(x)}',
];
/** What FreeSWITCH would act on. */
const ALIVE = /\$\{|\$\$\{|<x\/>|<\?xml|<!--/;

test.each(NAMES)('%s as a display name is kept as it is, and is text to a node', async (displayName) => {
  const username = `u${NAMES.indexOf(displayName)}`;
  const id = await app.addUser(username, { displayName });
  expect((await app.api('GET', `/v1/users/${id}`)).body.displayName).toBe(displayName);
  await app.addPhone(node, username, { answerAfterMs: 20 });

  const directory = await app.askXml(node, loginQuestion({ username }));
  expect(directory.status).toBe(200);
  expect(directory.text).not.toMatch(ALIVE);
  expect(() => parseDocument(directory.text)).not.toThrow();
  const shown = /effective_caller_id_name" value="([^"<]*)"/.exec(directory.text);
  expect(shown).not.toBeNull();

  const { id: callId } = await app.call(`user:${username}`, 'user:bob', { callerName: displayName });
  const answered = await app.callIs(callId, 'answered');
  expect(answered.callerName).toBe(displayName);
  const created = await until('both channels are told', () => {
    const found = ear!.events.filter((e) => e.variable_switchyard_call_id === callId);
    return found.length >= 2 ? found : undefined;
  });
  for (const event of created) {
    expect(event['Caller-Caller-ID-Name']).not.toMatch(/\$\{/); // an angle bracket is only text in an event
    expect(Object.keys(event)).not.toContain('variable_y');
    expect(event).not.toHaveProperty('variable_a');
  }
  expect(created[0]!['Caller-Caller-ID-Name']).toBe(inertText(callerNameText(displayName), 'name'));
  await app.hangUp(callId);
  await app.callIs(callId, 'ended');
});

test.each(['two\nlines', 'a\r\n\r\napi shutdown', 'nul\u0000', '\u001b[31m', 'x'.repeat(129), '\ud800'])(
  'a name that no display shows is refused by its field: %j',
  async (displayName) => {
    const user = { domain: DOMAIN, username: 'refused', password: 'a-long-password' };
    const made = await app.api('POST', '/v1/users', { ...user, displayName });
    expect(made).toMatchObject({ status: 400, body: { code: 'invalid_request', errors: [{ path: 'displayName' }] } });
    const call = { domain: DOMAIN, from: 'user:bob', to: '9196', callerName: displayName };
    const asked = await app.api('POST', '/v1/calls', call);
    expect(asked).toMatchObject({ status: 400, body: { code: 'invalid_request', errors: [{ path: 'callerName' }] } });
  },
);

test.each(['a@b', 'a b', '${x}', 'x,y', 'x\ny', 'a/b', '', 'x'.repeat(65), '%41', "'"])(
  'a user can not be named %j, and nobody can be called so',
  async (username) => {
    const made = await app.api('POST', '/v1/users', { domain: DOMAIN, username, password: 'a-long-password' });
    expect(made.status).toBe(400);
    const asked = await app.api('POST', '/v1/calls', { domain: DOMAIN, from: `user:${username}`, to: '9196' });
    expect(asked.status).toBe(400);
  },
);

test('a phone that dials something hostile is refused, and the call that is kept holds it as text', async () => {
  const phone = await app.addPhone(node, 'dialler');
  for (const number of ['${system(touch x)}', "9196' &system(x)", 'bob,sofia/internal/x@y', 'user:bob', '"><x/>']) {
    expect(await phone.dial(number, { callerName: '${system(touch x)}' }).answered).toBe(false);
    const { body } = await app.api('GET', `/v1/calls?domain=${DOMAIN}&limit=1`);
    expect(body.items[0]).toMatchObject({ origin: 'phone', to: number });
    await app.callIs(body.items[0].id, 'ended');
  }
});

test('every line of the log is one JSON object, whatever was in it', () => {
  for (const line of app.lines) {
    expect(line.trimEnd()).not.toContain('\n');
    expect(() => JSON.parse(line)).not.toThrow();
  }
});
