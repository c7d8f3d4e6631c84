/** Secrets at work in a whole Switchyard: none stands in the log or in the database, and the one they all rest on can be changed. */
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { startSwitchyard } from '../../../src/main';
import { createLogger } from '../../../src/infra/logger';
import { hashSipPassword } from '../../../src/infra/secrets';
import { openRtmpTarget, type RtmpTarget } from '../../domains/relays/rtmp-target';
import { useStores } from '../../stores';
import { ADMIN_KEY, DOMAIN, JOIN_TOKEN, startApp, passwordOf, until, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

const stores = useStores();
const TURN_SECRET = 'the-secret-shared-with-coturn';
const [PIN, MODERATOR_PIN, STREAM_KEY] = ['8362951740', '5172839406', 'stream-key-of-the-relay'];
const [FIRST, SECOND] = [randomBytes(32), randomBytes(32)];
let app: App;
let target: RtmpTarget;
let one: Node;
let two: Node;
/** What was seen of secrets on the way, by what it is. */
const secrets = new Map<string, string>();

beforeAll(async () => {
  app = await startApp(stores, {
    secretKey: FIRST,
    turnUrls: ['turn:turn.test:3478'],
    turnSecret: TURN_SECRET,
    logLevel: 'trace',
    relayAllowPrivate: true,
  });
  target = await openRtmpTarget();
  [one, two] = [await app.addNode('one'), await app.addNode('two')];
});
afterAll(async () => {
  await app?.close();
  await target?.stop();
});

const ha1Of = (username: string, password: string) => hashSipPassword(username, DOMAIN, password);

/** Every row of every table, as a dump would show it. */
async function dump(): Promise<string> {
  const client = new Client({ connectionString: stores.databaseUrl });
  await client.connect();
  try {
    const tables = await client.query<{ name: string }>(
      "select format('%I', tablename) as name from pg_tables where schemaname = 'public'",
    );
    const rows: string[] = [];
    for (const { name } of tables.rows) {
      const found = await client.query<{ text: string }>(`select t::text as text from ${name} t`);
      rows.push(...found.rows.map(({ text }) => text));
    }
    return rows.join('\n');
  } finally {
    await client.end();
  }
}

test('provisioning, guests, calls over two nodes, a PIN, a relay and a recording work', async () => {
  for (const [name, node] of [
    ['one', one],
    ['two', two],
  ] as const) {
    secrets.set(`Event Socket password of ${name}`, node.eslPassword);
    secrets.set(`secret of ${name}`, node.password);
  }
  for (const user of ['ann', 'bob']) {
    secrets.set(`password of ${user}`, passwordOf(user)).set(`HA1 of ${user}`, ha1Of(user, passwordOf(user)));
  }
  await app.addPhone(two, 'bob', { answerAfterMs: 20 });
  const ann = await app.addPhone(one, 'ann', { answerAfterMs: 20 });
  const call = await app.call('user:ann', 'user:bob');
  await app.callIs(call.id, 'answered');
  const question = {
    section: 'directory',
    action: 'user_call',
    user: 'bob',
    domain: DOMAIN,
    switchyard_call_id: call.id,
  };
  const way = (await app.askXml(one, question)).text;
  secrets.set('token between nodes', /X-Switchyard-Token=([\w.-]+)/.exec(way)![1]!);
  // A leg's id is a key to its call.
  const legs = (await stores.db('legs').where({ call_id: call.id }).select('id')) as { id: string }[];
  expect(legs.length).toBeGreaterThan(2);
  const { items } = await app.must(200, 'GET', `/v1/events?format=json&limit=1000&callId=${call.id}&domain=${DOMAIN}`);
  const told = JSON.stringify([items, await app.readCall(call.id)]);
  for (const { id } of legs) expect(told).not.toContain(id);
  await app.hangUp(call.id);

  const made = await app.must(201, 'POST', '/v1/api-keys', { name: 'k', scope: 'domain', domain: DOMAIN });
  secrets.set('API key', made.key);
  const registered = await app.must(201, 'POST', '/v1/nodes', { name: 'three', host: '127.0.0.1', eslPort: 1 });
  secrets.set('credentials of a node', registered.credentials.password.split('.')[1]);

  const settings = { pin: PIN, moderatorPin: MODERATOR_PIN, record: true };
  const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'daily', ...settings });
  secrets.set('PIN', PIN).set('moderator PIN', MODERATOR_PIN);
  const entering = ann.dial('daily', { digits: ['111#', `${PIN}#`] });
  await until('ann is in', async () => {
    const { items } = await app.must(200, 'GET', `/v1/rooms/${room.id}/participants`);
    return items.some((p: { state: string }) => p.state === 'in');
  });
  const relay = { url: `rtmp://127.0.0.1:${target.port}/live`, streamKey: STREAM_KEY };
  await app.must(201, 'POST', `/v1/rooms/${room.id}/relays`, relay);
  secrets.set('stream key', STREAM_KEY);
  for (const path of [`/v1/rooms/${room.id}/grants`, `/v1/users/${(await bob()).id}/grants`]) {
    const grant = await app.must(201, 'POST', path, {});
    secrets.set(`HA1 of ${path}`, grant.ha1).set(`token of ${path}`, grant.token);
    secrets.set(`TURN of ${path}`, grant.iceServers[0].credential);
    await fetch(`${app.url}/v1/events?format=json&access_token=${grant.token}`);
    await app.askXml(one, loginQuestion(grant));
  }
  const recorded = async () =>
    (await app.must(200, 'GET', `/v1/recordings?domain=${DOMAIN}&roomId=${room.id}`)).items[0]?.state;
  await until('it is recorded', async () => (await recorded()) === 'recording');
  entering.hangup();
  await until('the recording has come home', async () => (await recorded()) === 'completed');
  const variables = {
    uuid: made.id,
    switchyard_pin: PIN,
    digits_dialed: `111#${PIN}#`,
    hangup_cause: 'NORMAL_CLEARING',
  };
  expect((await app.sendCdr(one, JSON.stringify({ variables, callflow: [] }))).text).toBe('kept\n');
});

const bob = async () => (await app.must(200, 'GET', `/v1/users?username=bob&domain=${DOMAIN}`)).items[0];

test('what goes wrong works as well: wrong keys and passwords, and faults of the database', async () => {
  const { id } = await bob();
  await app.api('PATCH', `/v1/users/${id}`, { password: passwordOf('bob'), displayName: 'x\u0000' });
  await app.api('POST', '/v1/users', { domain: DOMAIN, username: 'bob', password: passwordOf('bob') });
  await fetch(`${app.url}/v1/users`, { headers: { authorization: `Bearer ${ADMIN_KEY}x` } });
  await two
    .registerPhone({ username: 'bob', domain: DOMAIN, password: 'not-it', behaviour: {} })
    .catch(() => undefined);
  await app.askXml({ ...one, name: 'one', password: `${JOIN_TOKEN}.${'x'.repeat(20)}`, xmlUrl: one.xmlUrl }, {});
  // A constraint that nothing meets makes Postgres tell the whole row.
  for (const table of ['users', 'grants', 'rooms', 'nodes', 'api_keys']) {
    await stores.db.raw(`alter table ${table} add constraint refused check (false) not valid`);
  }
  const refused = [
    await app.api('PATCH', `/v1/users/${id}`, { password: passwordOf('bob') }),
    await app.api('POST', `/v1/users/${id}/grants`, {}),
    await app.api('POST', '/v1/rooms', { domain: DOMAIN, name: 'other', pin: PIN }),
    await app.api('POST', '/v1/api-keys', { name: 'k', scope: 'admin' }),
  ];
  expect(refused.map(({ status }) => status)).toEqual([500, 500, 500, 500]);
  for (const table of ['users', 'grants', 'rooms', 'nodes', 'api_keys']) {
    await stores.db.raw(`alter table ${table} drop constraint refused`);
  }
  expect(app.lines.filter((line) => line.includes('violates check constraint')).length).toBeGreaterThanOrEqual(4);
});

function everySecret(): [string, string][] {
  secrets.set('admin key', ADMIN_KEY).set('join token', JOIN_TOKEN).set('TURN secret', TURN_SECRET);
  for (const form of ['base64', 'base64url', 'hex'] as const) secrets.set(`secret in ${form}`, FIRST.toString(form));
  return [...secrets];
}

test('no line of the log holds any of it, nor what is kept of it', () => {
  const log = app.lines.join('');
  expect(log.length).toBeGreaterThan(10_000);
  expect(everySecret().length).toBeGreaterThan(25);
  expect(
    everySecret()
      .filter(([, secret]) => log.includes(secret))
      .map(([name]) => name),
  ).toEqual([]);
  expect(log).not.toMatch(/v2\.[0-9a-f]{12}\.[\w-]{16}\./);
  expect(log).not.toMatch(/token=[\w-]{8}/);
});

test('nor does any row of any table', async () => {
  const rows = await dump();
  expect(rows).toContain('v2.');
  expect(
    everySecret()
      .filter(([, secret]) => rows.includes(secret))
      .map(([name]) => name),
  ).toEqual([]);
});

test('a replica with another secret does not start, in words, and the others notice nothing', async () => {
  const silent = createLogger('silent');
  await expect(startSwitchyard({ ...app.config, secretKey: SECOND }, silent)).rejects.toThrow(
    /^SWITCHYARD_SECRET is not the secret of this database.*SWITCHYARD_SECRET_OLD\.$/,
  );
  expect((await app.api('GET', `/v1/nodes/${one.id}`)).body.state).toBe('serving');
});

test('the secret is changed while calls stand: both replicas read what either writes, nodes stay linked', async () => {
  const standing = await app.call('user:ann', 'user:bob');
  await app.callIs(standing.id, 'answered');
  const lines = app.lines.length;
  // One that only knows the next one beside its own, and one that has changed to it.
  const before = await app.addReplica({ secretKey: Buffer.concat([FIRST, SECOND]) });
  const after = await app.addReplica({ secretKey: Buffer.concat([SECOND, FIRST]) });
  const written = { domain: DOMAIN, username: 'carl', password: passwordOf('carl') };
  expect((await app.api('POST', '/v1/users', written, after.url)).status).toBe(201);
  const askAt = (url: string, user: string) =>
    app.askXml(
      { name: 'one', password: one.password, xmlUrl: one.xmlUrl.replace(app.url, url) },
      loginQuestion({ username: user, password: passwordOf(user) }),
    );
  for (const url of [before.url, after.url]) {
    for (const user of ['bob', 'carl']) expect((await askAt(url, user)).text).toContain(ha1Of(user, passwordOf(user)));
  }
  const call = await app.must(201, 'POST', '/v1/calls', { domain: DOMAIN, from: 'user:ann', to: 'user:bob' });
  await app.callIs(call.id, 'answered');
  await app.hangUp(call.id, after.url);
  expect((await app.readCall(standing.id)).state).toBe('answered');
  await app.hangUp(standing.id);
  const said = app.lines.slice(lines).join('');
  expect(said).toContain('SWITCHYARD_SECRET has changed');
  expect(said).not.toContain('can not be opened');
  for (const form of ['base64', 'hex'] as const) expect(said).not.toContain(SECOND.toString(form));
});
