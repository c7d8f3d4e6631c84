/** What one tenant does to the queue is no other tenant's trouble: everybody is dialled in their turn. */
import { createId } from '../../../src/infra/ids';
import { QUOTAS } from '../../../src/domains/quotas/catalogue';
import { useStores } from '../../stores';
import { startApp, passwordOf, PHONE_SECONDS, until, type Node, type App } from '../harness';

jest.setTimeout(400_000);
const GREEDY = 'greedy.test';
const PATIENT = { ringTimeoutSeconds: 300, queueTimeoutSeconds: 600 };
let app: App;
afterEach(async () => {
  await app.close();
  await stores.db('calls').delete(); // the next test's nodes are others
});
const stores = useStores();
let round = 0;
let node: Node;

async function open(capacity: number): Promise<void> {
  round += 1;
  const { databaseUrl, redisUrl } = stores;
  app = await startApp({ databaseUrl, redisUrl, redisPrefix: `${stores.redisPrefix}-${round}` }, { callWorkers: 50 });
  node = await app.addNode(`node-${round}`, { capacity });
  expect([201, 409]).toContain((await app.api('POST', '/v1/domains', { name: GREEDY })).status);
}

/** A user of the greedy tenant whose phone does as it is told. */
async function addGreedy(username: string, ringOnly: boolean): Promise<void> {
  await app.addUser(username, { domain: GREEDY });
  const behaviour = ringOnly ? { ringOnly } : { answerAfterMs: 20 };
  const who = { username, domain: GREEDY, password: passwordOf(username), expiresSeconds: PHONE_SECONDS };
  await node.registerPhone({ ...who, behaviour });
  await until(`${username} is registered`, async () => {
    const [user] = (await app.must(200, 'GET', `/v1/users?username=${username}&domain=${GREEDY}`)).items;
    return user.registrations.length > 0;
  });
}

async function callAll(count: number, asked: Record<string, unknown>): Promise<string[]> {
  const ids: string[] = [];
  const work = async (): Promise<void> => {
    while (ids.length < count) {
      const at = ids.push('') - 1;
      ids[at] = (await app.must(201, 'POST', '/v1/calls', { domain: GREEDY, ...PATIENT, ...asked })).id;
    }
  };
  await Promise.all(Array.from({ length: 10 }, work));
  return ids;
}

const count = async (state: string): Promise<number> => {
  const [row] = await stores
    .db('calls as c')
    .join('domains as d', 'd.id', 'c.domain_id')
    .where({ 'c.state': state, 'd.name': GREEDY })
    .count();
  return Number(row?.count);
};

/** As many as an hour of a busy API writes down. */
async function queueMany(many: number, from: string): Promise<void> {
  const domain = (await stores.db('domains').where({ name: GREEDY }).first('id')) as { id: string };
  const rows = Array.from({ length: many }, () => ({
    id: createId(),
    domain_id: domain.id,
    origin: 'api',
    from_address: from,
    to_address: '9196',
    state: 'queued',
    units: '1',
    ring_timeout_seconds: 300,
    place_before: new Date(Date.now() + 600_000),
    queued_at: new Date(),
  }));
  await stores.db.batchInsert('calls', rows, 200);
}

/** Milliseconds from the request until its node was chosen. */
async function timeToDial(): Promise<number> {
  const { id, queuedAt } = await app.call('user:ann', '9196', PATIENT);
  const [attempt] = await until('it is dialled', async () => {
    const { attempts } = await app.readCall(id);
    return attempts.length > 0 ? attempts : undefined;
  });
  await app.callIs(id, 'answered');
  await app.hangUp(id);
  await app.callIs(id, 'ended');
  return Date.parse(attempt!.placedAt!) - Date.parse(queuedAt!);
}

const median = (times: number[]): number => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]!;

test("500 ringing and 1,000 queued calls of one tenant do not keep another's from being dialled", async () => {
  await open(5000);
  await app.addPhone(node, 'ann', { answerAfterMs: 20 });
  await addGreedy('gus', true);
  const alone: number[] = [];
  for (let i = 0; i < 5; i += 1) alone.push(await timeToDial());

  // They are taken in faster than a domain may ask by default.
  await app.must(200, 'PUT', `/v1/quotas/${GREEDY}`, { callsPerSecond: 10_000 });
  const ids = await callAll(QUOTAS.ringingCalls.default, { from: 'user:gus', to: '9196' });
  await until('all ring', async () => (await count('ringing')) === QUOTAS.ringingCalls.default, 120_000);
  await queueMany(1000, 'user:gus');
  const beside: number[] = [];
  for (let i = 0; i < 5; i += 1) beside.push(await timeToDial());
  process.stdout.write(
    `dialled after ${alone.join(', ')} ms alone, ${beside.join(', ')} ms beside 500 ringing and 1,000 queued\n`,
  );
  // A second, or where the machine is so slow, what a call takes there by itself.
  expect(Math.max(...beside)).toBeLessThan(Math.max(1000, 4 * median(alone)));

  // No more than may ring do, however many wait; and whoever ends makes room for one.
  expect((await count('placing')) + (await count('ringing'))).toBe(QUOTAS.ringingCalls.default);
  expect(await count('queued')).toBe(1000);
  await app.hangUp(ids[0]!);
  await until('the next one rings', async () => (await count('queued')) === 999);
  await until('it rings', async () => (await count('ringing')) === QUOTAS.ringingCalls.default);
  expect((await count('placing')) + (await count('ringing'))).toBe(QUOTAS.ringingCalls.default);
});

test('in a full pool whoever gets the next free place is decided by turns, not by how many wait', async () => {
  await open(3);
  await app.addPhone(node, 'ann', { answerAfterMs: 20 });
  await addGreedy('gil', false);
  const talking = await callAll(3, { from: 'user:gil', to: '9196' });
  for (const id of talking) await app.callIs(id, 'answered');
  await callAll(30, { from: 'user:gil', to: '9196' });
  const mine = await app.call('user:ann', '9196', PATIENT);
  await until('no place is found for it', async () => {
    return (await app.api('GET', `/v1/calls/${mine.id}/placement`)).body.decisions.length > 0;
  });
  for (const id of talking.slice(0, 2)) {
    await app.hangUp(id);
    await app.callIs(id, 'ended');
  }
  await app.callIs(mine.id, 'answered'); // by the second place at the latest, with 30 that came before
  await until('the other place is taken as well', async () => (await count('answered')) === 2);
  expect(await count('queued')).toBe(29);
});

test('a call whose turn never comes ends when its time is over', async () => {
  await open(1);
  await app.addPhone(node, 'ann', { answerAfterMs: 20 });
  await addGreedy('gwen', false);
  const [talking] = await callAll(1, { from: 'user:gwen', to: '9196' });
  await app.callIs(talking!, 'answered');
  const { id } = await app.call('user:ann', '9196', { queueTimeoutSeconds: 2 });
  expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'no_capacity', attempts: [] });
});
