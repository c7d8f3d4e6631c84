/** Replicas whose machines' clocks are ten minutes wrong: the pool is run by one clock all the same, the database's. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChild, type Child } from '../../../scripts/child';
import { findFreePort } from '../../../scripts/stores/ports';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Node, type App } from '../harness';

const TEN_MINUTES_MS = 600_000;
const CALLS = 20;
const TURN_SECRET = 'a-secret-of-the-relay';

/** What each of the two does: the one places by what the other has written down. */
describe.each([
  ['fast', TEN_MINUTES_MS, { right: ['api', 'supervisor'], wrong: 'api,worker' }],
  ['slow', -TEN_MINUTES_MS, { right: ['api', 'worker'], wrong: 'api,supervisor' }],
] as const)('a replica whose clock is ten minutes %s', (word, shiftMs, roles) => {
  let app: App;
  let replica: Child;
  let url = '';
  let operationsUrl = '';
  let node: Node;
  let output = '';
  const folder = mkdtempSync(join(tmpdir(), 'replica-clock-'));
  afterAll(async () => {
    await replica?.stop();
    await app?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const stores = useStores();

  beforeAll(async () => {
    app = await startApp(stores, { roles: roles.right, turnSecret: TURN_SECRET });
    const [port, operationsPort] = [await findFreePort(), await findFreePort()];
    output = join(folder, 'output.log');
    replica = startChild({
      name: 'replica',
      command: process.execPath,
      args: [
        '--require',
        join(__dirname, '../../clock-shift.js'),
        '--import',
        'tsx',
        join(__dirname, '../../../src/main.ts'),
      ],
      env: {
        PATH: process.env.PATH,
        CLOCK_SHIFT_MS: String(shiftMs),
        ROLES: roles.wrong,
        HTTP_PORT: String(port),
        OPERATIONS_PORT: String(operationsPort),
        DATABASE_URL: stores.databaseUrl,
        REDIS_URL: stores.redisUrl,
        REDIS_PREFIX: stores.redisPrefix,
        SWITCHYARD_SECRET: app.config.secretKey.toString('base64'),
        NODE_ALLOWED_NETWORKS: '127.0.0.0/8',
        RECORDINGS_DIR: join(folder, 'recordings'),
        HEARTBEAT_SECONDS: String(app.config.heartbeatSeconds),
        TURN_URLS: 'turn:127.0.0.1:3478',
        TURN_SECRET,
      },
      logFile: output,
    });
    url = `http://127.0.0.1:${port}`;
    operationsUrl = `http://127.0.0.1:${operationsPort}`;
    await until(
      () => `the replica is ready: ${replica.lastLines()}`,
      async () => (await fetch(`${operationsUrl}/readyz/replica`).catch(() => undefined))?.status === 200,
    );
    node = await app.addNode('one');
    await app.addPhone(node, 'ann', { answerAfterMs: 50 });
    await app.addPhone(node, 'bert', { answerAfterMs: 50 });
  });

  test('says so in its log, and how much in its metrics', async () => {
    await until('it is said', () => readFileSync(output, 'utf8').includes(`this machine's clock is 600.0 s ${word}`));
    const text = await (await fetch(`${operationsUrl}/metrics`)).text();
    const offset = Number(/^switchyard_machine_clock_offset_seconds (\S+)$/m.exec(text)?.[1]);
    expect(Math.abs(offset - shiftMs / 1000)).toBeLessThan(1);
  });

  test('places every call in an idle pool, and tells its times by the clock of all', async () => {
    for (let i = 0; i < CALLS; i += 1) {
      const begunMs = Date.now();
      const made = await app.call('ann', 'bert');
      const answer = await app.api('POST', '/v1/calls', { domain: DOMAIN, from: 'ann', to: 'bert' }, url);
      expect(answer.status).toBe(201);
      for (const id of [made.id, answer.body.id as string]) {
        const call = await app.callIs(id, 'answered');
        for (const at of [call.queuedAt, call.ringingAt, call.answeredAt])
          expect(Math.abs(Date.parse(at!) - begunMs)).toBeLessThan(60_000);
        expect(call.queuedAt! <= call.ringingAt!).toBe(true);
        await app.hangUp(id, url);
        const ended = await app.callIs(id, 'ended');
        expect(ended.talkSeconds).toBeLessThan(60);
      }
    }
  });

  test('a grant of a minute that it gives is good at every replica, for a minute', async () => {
    const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: `meeting-${word}` });
    const asked = { identity: 'carl', expiresInSeconds: 60 };
    const { status, body } = await app.api('POST', `/v1/rooms/${room.id}/grants`, asked, url);
    expect([status, body]).toEqual([201, expect.anything()]);
    const leftMs = Date.parse(body.expiresAt) - Date.now();
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThan(61_000);
    const own = await fetch(`${app.url}/v1/grants/self`, { headers: { authorization: `Bearer ${body.token}` } });
    expect(own.status).toBe(200);
  });

  test('an API key that ends in a minute works at it', async () => {
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const asked = { name: `short ${word}`, scope: 'domain', domain: DOMAIN, expiresAt };
    const { key } = await app.must(201, 'POST', '/v1/api-keys', asked);
    const answer = await fetch(`${url}/v1/calls?domain=${DOMAIN}`, { headers: { authorization: `Bearer ${key}` } });
    expect(answer.status).toBe(200);
  });
});
