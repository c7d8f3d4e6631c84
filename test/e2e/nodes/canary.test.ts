/** A node is judged by more than its heartbeat: by its rooms, its port for browsers, and a call that must be heard. */
import { useStores } from '../../stores';
import { startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let node: Node;
let other: Node;

beforeAll(async () => {
  // The schedule's first one comes at a twentieth of its time at the earliest: not while this file runs, on any machine.
  app = await startApp(stores, { healthSeconds: 0.1, canarySeconds: 86_400 });
  [node, other] = [await app.addNode('one', { webSocket: true }), await app.addNode('two', { webSocket: true })];
  await app.addPhone(node, 'ann', { answerAfterMs: 20 });
});

const healthOf = async (of: Node) => (await app.api('GET', `/v1/nodes/${of.id}`)).body.health;
const isHealthy = (of: Node, healthy: boolean) =>
  until(`${of.name} is ${healthy ? 'well' : 'not well'}`, async () => (await healthOf(of)).healthy === healthy);
const send = (to: Node) => app.api('POST', `/v1/nodes/${to.id}/canary`);
const poolEvents = async (of: Node): Promise<{ type: string; data: Record<string, unknown> }[]> =>
  await stores
    .db('events')
    .where({ node_id: of.id })
    .whereIn('type', ['node.healthy', 'node.unhealthy'])
    .orderBy('number');

/** Nothing of a canary stays: no channel, no file, no claim, no row. */
async function expectNothingLeft(of: Node): Promise<void> {
  await until('its channels are gone', () => of.channelCount === 0);
  await until('nothing is claimed', async () => {
    return (await app.api('GET', `/v1/nodes/${of.id}`)).body.claimedUnits === 0;
  });
  expect(await stores.db('calls').count('* as n').first()).toEqual({ n: '0' });
  expect(await stores.db('cdrs').whereRaw("record::text like '%canary%'")).toEqual([]);
}

test('a canary is mixed, recorded and heard, and leaves nothing behind', async () => {
  const { status, body } = await send(node);
  expect({ status, body }).toMatchObject({
    status: 200,
    body: { ok: true, heard: true, recorded: true, failure: null },
  });
  await expectNothingLeft(node);
});

test('a node that mixes silence fails it, gets no new calls, says why, and is taken again when it passes', async () => {
  node.faults.muteAudio();
  const askedAt = Date.now();
  const { body } = await send(node);
  expect(body).toMatchObject({ ok: false, heard: false, recorded: false });
  expect(body.failure).toContain('what one leg heard has silence');
  await expectNothingLeft(node);

  const health = await healthOf(node);
  expect(health).toMatchObject({ healthy: false, reason: expect.stringContaining('the canary call failed') });
  expect(Date.parse(health.since)).toBeGreaterThanOrEqual(askedAt);
  const { id } = await app.call('user:ann', '9196');
  await app.callIs(id, 'answered');
  const placement = (await app.api('GET', `/v1/calls/${id}/placement`)).body;
  expect(JSON.stringify(placement)).toContain('one: not possible, because it is not well (the canary call failed');
  expect((await app.readCall(id)).node).toBe('two');
  await app.hangUp(id);
  await app.callIs(id, 'ended');
  const pool = (await app.api('GET', '/v1/pool')).body;
  expect(pool.nodes.find((n: { name: string }) => n.name === 'one').health.healthy).toBe(false);
  expect(pool.total.serving).toBe(1);

  node.faults.muteAudio(false);
  expect((await send(node)).body.ok).toBe(true);
  expect(await healthOf(node)).toMatchObject({ healthy: true, reason: null });
  expect((await poolEvents(node)).map((e) => e.type)).toEqual(['node.unhealthy', 'node.healthy']);
  await stores.db('calls').delete();
});

test.each([
  ['a disk that is full', () => node.faults.fillDisk(), () => node.faults.fillDisk(false), /was not written|refused/],
  ['a node that refuses calls', () => node.faults.refuse(2), () => node.faults.refuse(0), /was not made/],
  [
    'a recording that stands still',
    () => node.faults.stallRecordings(),
    () => node.faults.stallRecordings(false),
    /silence|not written/,
  ],
])('%s is found out', async (_, begin, end, words) => {
  begin();
  const { body } = await send(node);
  end();
  expect(body).toMatchObject({ ok: false });
  expect(body.failure).toMatch(words);
  await expectNothingLeft(node);
  expect((await send(node)).body.ok).toBe(true);
});

test('a nearly full node is left alone, and only one canary is under way', async () => {
  const small = await app.addNode('small', { capacity: 2 });
  expect((await send(small)).body).toMatchObject({ code: 'conflict', detail: expect.stringContaining('nearly full') });
  // Two that are asked for at once may come one after the other on a machine that stands still between them.
  await until('one of two is refused', async () => {
    const statuses = (await Promise.all([send(node), send(node)])).map((a) => a.status);
    expect(statuses).toContain(200);
    return statuses.includes(409);
  });
  await expectNothingLeft(node);
});

test('a name nobody made is no way into the room or the plan of a canary', async () => {
  const name = 'canary-eyJjIjoiYSJ9.forged';
  const base = { hostname: node.name, 'Core-UUID': node.coreUuid };
  const plan = await app.askXml(node, {
    ...base,
    section: 'dialplan',
    'Unique-ID': '01a1ff28-6ff5-7bde-a858-ed555e998394',
    'Caller-Context': 'canary',
    'Caller-Destination-Number': `enter.${name}`,
  });
  expect(plan.text).toContain('OUTGOING_CALL_BARRED');
  expect(plan.text).not.toContain('conference');
  const asked = { section: 'configuration', key_name: 'name', key_value: 'conference.conf', conference_name: name };
  expect((await app.askXml(node, { ...base, ...asked })).text).toContain('not found');
});

test('a mixer that hangs makes its node get no calls after three looks, and takes nothing else along', async () => {
  node.faults.stickConferences();
  await isHealthy(node, false);
  expect((await healthOf(node)).reason).toContain('a conference command failed');
  // Its list of rooms is asked for as well, and that connection is then made anew: it serves on.
  await app.nodeIs(node, 'serving');
  node.faults.stickConferences(false);
  await isHealthy(node, true);
});

test('a port for browsers that takes nobody makes its node get no calls', async () => {
  await isHealthy(other, true);
  await until('it was looked at', async () => (await healthOf(other)).webSocket === 'open');
  await other.faults.closeWebSocket();
  await isHealthy(other, false);
  expect((await healthOf(other)).reason).toMatch(/WebSocket port \d+: ECONNREFUSED/);
  await other.faults.closeWebSocket(false);
  await isHealthy(other, true);
  expect((await poolEvents(other)).map((e) => e.type)).toEqual(['node.unhealthy', 'node.healthy']);
});
