/** Redis loses everything, Postgres stops: calls go on, users stay known, and nobody is told what can't be known. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, chmodSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import {
  ensureDatabase,
  startPostgres,
  type PostgresOptions,
  type RunningPostgres,
} from '../../../scripts/stores/postgres';
import { startRedis, type RunningRedis } from '../../../scripts/stores/redis';
import { createRedis } from '../../../src/infra/stores/redis';
import { createLogger } from '../../../src/infra/logger';
import { ADMIN_KEY, DOMAIN, startApp, until, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

jest.setTimeout(400_000);
let app: App;
let postgres: RunningPostgres;
let redis: RunningRedis;
let node: Node;
const stateDir = mkdtempSync(join(tmpdir(), 'switchyard-away-'));
const password = randomBytes(12).toString('hex');
let settings: PostgresOptions;

beforeAll(async () => {
  chmodSync(stateDir, 0o711);
  settings = { dataDir: join(stateDir, 'postgres'), password, logFile: join(stateDir, 'postgres.log') };
  postgres = await startPostgres(settings);
  await ensureDatabase(postgres.urlOf('postgres'), 'away');
  redis = await startRedis({
    dataDir: join(stateDir, 'redis'),
    password,
    logFile: join(stateDir, 'redis.log'),
    ephemeral: true,
    report: () => undefined,
  });
  app = await startApp(
    { databaseUrl: postgres.urlOf('away'), redisUrl: redis.url, redisPrefix: 'away' },
    {},
    'as everybody',
  );
  node = await app.addNode('one', { capacity: 2 });
  for (const name of ['ann', 'bob', 'eve']) await app.addPhone(node, name, { answerAfterMs: 20 });
  await app.addUser('unseen');
});
afterAll(async () => {
  await app?.close();
  await redis?.child.stop();
  await postgres?.child.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

const question = (username: string) => loginQuestion({ username });
const ask = (username: string) => app.askXml(node, question(username));
/** Also where the answer is that it can't be known. */
const askOnce = (username: string) => app.askXmlOnce(node, question(username));

test('Redis restarted empty: soon the pool is known, live calls are counted, and a waiting call is placed', async () => {
  const live = [await app.call('user:ann', '9196'), await app.call('user:bob', '9196')];
  for (const { id } of live) await app.callIs(id, 'answered');
  const waiting = await app.call('user:eve', '9196', { queueTimeoutSeconds: 300 });
  await until('it waits for capacity', async () => {
    return (await app.api('GET', `/v1/calls/${waiting.id}/placement`)).body.decisions.length > 0;
  });
  await redis.child.stop();
  expect((await app.api('GET', `/v1/calls/${live[0]!.id}`)).body.state).toBe('answered');
  redis = await startRedis({
    dataDir: join(stateDir, 'redis'),
    password,
    logFile: join(stateDir, 'redis.log'),
    port: redis.port,
    ephemeral: true,
    report: () => undefined,
  });
  await until('claims are there again', async () => {
    const { body } = await app.api('GET', `/v1/nodes/${node.id}`);
    return body.state === 'serving' && body.claimedUnits === 2 && body.liveCalls === 2;
  });
  const client = createRedis(redis.url, createLogger('silent'));
  await client.connect();
  await client.flushall();
  client.disconnect();
  await until('claims are there again', async () => {
    return (await app.api('GET', `/v1/nodes/${node.id}`)).body.claimedUnits === 2;
  });
  expect((await app.readCall(waiting.id)).state).toBe('queued'); // forgetting its claims has not overbooked the node
  await app.hangUp(live[0]!.id);
  await app.callIs(waiting.id, 'answered');
  for (const id of [live[1]!.id, waiting.id]) {
    await app.hangUp(id);
    expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'answered' });
  }
  await until('nothing is claimed', async () => {
    return (await app.api('GET', `/v1/nodes/${node.id}`)).body.claimedUnits === 0;
  });
});

test('Postgres stops and comes back', async () => {
  const live = await app.call('user:ann', '9196');
  await app.callIs(live.id, 'answered');
  const before = await ask('bob');
  expect(before.text).toContain('a1-hash');
  await postgres.child.stop();

  const started = Date.now();
  await sleep(1100); // answers are taken as fresh for a second
  expect(await ask('bob')).toEqual(before);
  const unseen = await askOnce('unseen');
  expect(unseen.status).toBe(503);
  expect(unseen.text).not.toContain('not found');
  expect((await askOnce('nobody-at-all')).status).toBe(503);
  const phone = await node.registerPhone({ username: 'bob', domain: DOMAIN, password: 'password-of-bob' });
  expect(await phone.refresh()).toBe(200);

  for (const [method, path, body] of [
    ['POST', '/v1/users', { domain: DOMAIN, username: 'late', password: 'a-long-password' }],
    ['POST', '/v1/calls', { domain: DOMAIN, from: 'user:ann', to: '9196' }],
    ['GET', '/v1/calls', undefined],
    ['POST', `/v1/nodes/${node.id}/drain`, {}],
  ] as const) {
    const answer = await app.apiOnce(method, path, body);
    expect([path, answer.status, answer.body.code]).toEqual([path, 503, 'unavailable']);
  }
  const strange = { name: 'stranger', xmlUrl: node.xmlUrl, password: 'x'.repeat(32) };
  expect((await app.askXmlOnce(strange, { section: 'configuration' })).status).toBe(503);
  // No wait is without its deadline: eleven questions of two or three seconds each, on a machine that has time for them.
  expect(Date.now() - started).toBeLessThan(150_000);

  postgres = await startPostgres({ ...settings, port: postgres.port });
  await until('REST answers again', async () => (await app.apiOnce('GET', '/v1/calls')).status === 200);
  await app.nodeIs(node, 'serving');
  expect((await app.readCall(live.id)).state).toBe('answered');
  await until('nodes are answered again', async () => (await ask('unseen')).text.includes('a1-hash'));
  expect((await ask('nobody-at-all')).text).toContain('not found');
  const next = await until('a call can be asked for', async () => {
    const answer = await app.api('POST', '/v1/calls', { domain: DOMAIN, from: 'user:eve', to: 'user:bob' });
    return answer.status === 201 ? answer.body : undefined;
  });
  await app.callIs(next.id, 'answered');
  for (const { id } of [live, next]) {
    await app.hangUp(id);
    expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'answered' });
  }
  expect(app.lines.join('')).not.toContain(ADMIN_KEY);
});

test('what waits too long for others in Postgres is told to try again, and is then done', async () => {
  const user = { domain: DOMAIN, username: 'patient', password: 'a-long-password' };
  const holder = new Client({ connectionString: postgres.urlOf('away') });
  await holder.connect();
  try {
    await holder.query('begin');
    await holder.query('select * from event_heads for update'); // as a replica that stands still in a transaction
    expect(await app.apiOnce('POST', '/v1/users', user)).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    await holder.query('rollback');
  } finally {
    await holder.end();
  }
  expect((await app.api('POST', '/v1/users', user)).status).toBe(201);
});
