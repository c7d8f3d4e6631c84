/** What an operator is woken for: /readyz and metrics say what keeps the pool from its work, and deadlines hold meanwhile. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startRedis, type RunningRedis } from '../../../scripts/stores/redis';
import { projectRoot } from '../../../scripts/project';
import { useStores } from '../../stores';
import { startApp, until, type Node, type App } from '../harness';

const stores = useStores();
const dir = mkdtempSync(join(tmpdir(), 'switchyard-ready-'));
let redis: RunningRedis;
let admin: Redis;
let app: App;
let node: Node;

beforeAll(async () => {
  const report = (): void => undefined;
  redis = await startRedis({
    dataDir: dir,
    password: 'right',
    logFile: join(dir, 'redis.log'),
    ephemeral: true,
    report,
  });
  admin = new Redis(redis.url);
  app = await startApp({ ...stores, redisUrl: redis.url }, { roles: ['api'], heartbeatSeconds: 2 });
});
afterAll(async () => {
  await app?.close();
  admin?.disconnect();
  await redis?.child.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Ready {
  http: number;
  status: string;
  checks: Record<string, boolean>;
  faults?: string[];
}
const ready = async (): Promise<Ready> => {
  const answer = await fetch(`${app.operationsUrl}/readyz`, { signal: AbortSignal.timeout(30_000) });
  return { http: answer.status, ...((await answer.json()) as Omit<Ready, 'http'>) };
};
let last: Ready | undefined;
const readyIs = (what: string, is: (now: Ready) => boolean): Promise<Ready> =>
  until(
    () => `${what}: ${JSON.stringify(last)}`,
    async () => (is((last = await ready())) ? last : undefined),
  );
const metric = async (line: string): Promise<boolean> =>
  (await (await fetch(`${app.operationsUrl}/metrics`)).text()).split('\n').includes(line);
const itself = async (): Promise<number> => (await fetch(`${app.url}/readyz`)).status;

test('with nobody who dials or follows nodes it is not ready and says which role is missing; a call still ends in time', async () => {
  const now = await readyIs('roles are missing', ({ checks }) => checks.worker === false);
  expect(now).toMatchObject({ http: 503, checks: { postgres: true, redis: true, worker: false, supervisor: false } });
  expect(now.faults).toEqual([
    expect.stringContaining('role worker'),
    expect.stringContaining('role supervisor'),
    'There is no node in the pool yet.',
  ]);
  expect(await itself()).toBe(200); // this replica can work: no load balancer shall take it out
  expect(await metric('switchyard_check{check="worker"} 0')).toBe(true);

  for (const name of ['ann', 'bob']) await app.addUser(name);
  const call = await app.call('user:ann', 'user:bob', { queueTimeoutSeconds: 2 });
  const ended = await app.callIs(call.id, 'ended', 20_000);
  expect(ended.outcome).toBe('no_capacity');
});

test('it is ready when both roles are there and a node serves, and names a node that nobody hears of', async () => {
  await app.addReplica({ roles: ['worker', 'supervisor'] });
  const empty = await readyIs('only the nodes are missing', ({ checks }) => checks.worker === true);
  expect(empty.faults).toEqual(['There is no node in the pool yet.']);
  node = await app.addNode('one');
  expect(await readyIs('all is there', ({ http }) => http === 200)).toEqual({
    http: 200,
    status: 'ready',
    checks: { postgres: true, redis: true, redisPolicy: true, worker: true, supervisor: true, nodes: true },
  });
  node.faults.silenceHeartbeats();
  const silent = await readyIs('the node is silent', ({ checks }) => checks.nodes === false);
  expect(silent.faults).toEqual([expect.stringContaining('No node can take a call: one silent')]);
  await until('metrics know', () => metric('switchyard_nodes{state="silent"} 1'));
  expect(await metric('switchyard_nodes{state="serving"} 0')).toBe(true);
  expect(await metric('switchyard_capacity_units 0')).toBe(true);
  node.faults.silenceHeartbeats(false);
  await readyIs('all is well again', ({ http }) => http === 200);
});

test.each([
  [
    'may throw claims away',
    ['maxmemory-policy', 'allkeys-lru'],
    ['maxmemory-policy', 'noeviction'],
    /allkeys-lru.*noeviction/,
    200,
  ],
  ['is full', ['maxmemory', '1'], ['maxmemory', '0'], /full \(OOM\)/, 503],
] as const)('it says that Redis %s', async (_what, bad, good, words, own) => {
  await admin.config('SET', ...bad);
  const now = await readyIs('Redis is not as it should be', ({ http }) => http === 503);
  expect(now.faults).toEqual([expect.stringMatching(words)]);
  await until('this replica knows whether it can work', async () => (await itself()) === own);
  await admin.config('SET', ...good);
  await readyIs('all is well again', ({ http }) => http === 200);
});

test('it says that Redis only reads', async () => {
  await admin.call('REPLICAOF', '127.0.0.1', '1');
  const now = await readyIs('Redis is read-only', ({ http }) => http === 503);
  expect(now.faults).toEqual([expect.stringContaining('READONLY')]);
  await admin.call('REPLICAOF', 'NO', 'ONE');
  await readyIs('all is well again', ({ http }) => http === 200);
});

test.each([
  [
    'Redis has another password',
    () => ({ REDIS_URL: redis.url.replace('right', 'wrong') }),
    /Redis at 127\.0\.0\.1:\d+ rejects Switchyard's login \(WRONGPASS.*REDIS_URL/,
  ],
  [
    'Postgres is not there',
    () => ({ DATABASE_URL: 'postgres://a:secret@127.0.0.1:1/yard' }),
    /Postgres at 127\.0\.0\.1:1\/yard \(DATABASE_URL\): .*ECONNREFUSED/,
  ],
] as const)(
  'a start that can not work, since %s, ends with a line of words',
  async (_what, change, words) => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts'], {
      cwd: projectRoot(),
      env: {
        PATH: process.env.PATH,
        HTTP_PORT: '0',
        OPERATIONS_PORT: '0',
        DATABASE_URL: stores.databaseUrl,
        REDIS_URL: redis.url,
        RECORDINGS_DIR: join(dir, 'recordings'),
        SWITCHYARD_SECRET: app.config.secretKey.toString('base64'),
        ...change(),
      },
    });
    let said = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    const code = await new Promise((done) => child.once('close', done));
    expect([code, said]).toEqual([1, expect.not.stringContaining('Switchyard answers')]);
    expect(errors.trim().split('\n')).toEqual([expect.stringMatching(words)]);
    expect(errors + said).not.toMatch(/secret|wrong|right/);
  },
  120_000,
);
