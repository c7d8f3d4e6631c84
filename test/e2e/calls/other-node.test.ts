/** A node dies, refuses or is full: the call goes on elsewhere, or waits, and what happened can be read. */
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { findDoubleRings, openTap } from '../../../scripts/bench/faults/injecting/taps';
import { createLogger } from '../../../src/infra/logger';
import { useStores } from '../../stores';
import { startApp, until, type Node, type App } from '../harness';

let app: App;
afterEach(() => app.close());
const stores = useStores();
let round = 0;
let one: Node;
let two: Node;

/** Each test has nodes of its own: they don't survive it. */
beforeEach(async () => {
  round += 1;
  app = await startApp({ ...pick(), redisPrefix: `${stores.redisPrefix}-${round}` });
});
const pick = () => ({ databaseUrl: stores.databaseUrl, redisUrl: stores.redisUrl });

/** A phone that only rings must do so for as long as the test needs, on any machine. */
const RINGS_ON = { ringTimeoutSeconds: 300 };

async function addPair(capacity = 100): Promise<void> {
  one = await app.addNode(`one-${round}`, { capacity });
  two = await app.addNode(`two-${round}`, { capacity });
}

test('a node is killed while the caller rings: the call goes on at the other, and the attempt is kept', async () => {
  await addPair();
  const [caller, called] = [`ann-${round}`, `bob-${round}`];
  const first = await app.addPhone(one, caller, { ringOnly: true });
  await app.addPhone(two, called, { answerAfterMs: 20 });
  const { id } = await app.call(`user:${caller}`, `user:${called}`, RINGS_ON);
  expect(await app.callIs(id, 'ringing')).toMatchObject({ node: one.name });
  await app.addPhone(two, caller, { answerAfterMs: 20 });
  expect(first.username).toBe(caller);
  await one.kill();
  const answered = await app.callIs(id, 'answered');
  expect(answered.node).toBe(two.name);
  expect(answered.attempts).toMatchObject([
    { number: 1, node: one.name, result: 'retried', hangupCause: 'NODE_DIED' },
    { number: 2, node: two.name, result: null },
  ]);
  const { body } = await app.api('GET', `/v1/calls/${id}/placement`);
  expect(body.decisions.map((d: { node: string }) => d.node)).toEqual([one.name, two.name]);
  expect(body.decisions[1].explanation.join('\n')).toMatch(
    /not possible, because it (takes no new calls|refused or died)/,
  );
  await app.nodeIs(one, 'down');
  expect((await app.api('GET', `/v1/nodes/${one.id}`)).body.downReason).toBe('refused');
  expect((await app.eventsOf(id)).filter((t) => !t.startsWith('call.leg_'))).toEqual([
    'call.queued',
    'call.placing',
    'call.ringing',
    'call.retrying',
    'call.placing',
    'call.ringing',
    'call.answered',
  ]);
});

test('a node dies while this machine stands still: it is known to be gone for sure, and not only out of reach', async () => {
  await addPair();
  await one.kill();
  await setTimeout(20); // its end is seen, and the next attempt to connect not yet made
  const untilMs = Date.now() + 2500;
  while (Date.now() < untilMs);
  await app.nodeIs(one, 'down');
  expect((await app.api('GET', `/v1/nodes/${one.id}`)).body.downReason).toBe('refused');
});

test('a node dies that was ringing a phone through another, which can not be told: the phone is not rung twice', async () => {
  await addPair();
  const three = await app.addNode(`three-${round}`, { capacity: 100 });
  const caller = `ann-${round}`;
  await app.addPhone(two, caller, { ringOnly: true });
  for (const node of [two, three]) await app.must(200, 'POST', `/v1/nodes/${node.id}/drain`, {});
  const tap = openTap({
    node: two.name,
    port: two.eslPort,
    password: () => two.eslPassword,
    logger: createLogger('silent'),
  });
  try {
    const { id } = await app.call(`user:${caller}`, '9196', RINGS_ON);
    expect(await app.callIs(id, 'ringing')).toMatchObject({ node: one.name });
    await until('it rings', () => tap.rings.length === 1);
    await app.must(200, 'POST', `/v1/nodes/${three.id}/resume`, {});
    two.faults.freeze();
    await one.kill();
    await until('its attempt is over', async () => (await app.readCall(id)).state === 'queued');
    await setTimeout(1000); // the time in which a call used to be placed again at once
    expect((await app.readCall(id)).attempts).toHaveLength(1);
    two.faults.loseCommands(1, /hupall/);
    two.faults.thaw();
    await until('it rings again', () => tap.rings.length === 2);
    expect(await app.callIs(id, 'ringing')).toMatchObject({ node: three.name });
    expect(findDoubleRings(tap.rings, 0)).toEqual([]);
    expect(tap.rings[0]!.untilMs).toBeLessThanOrEqual(tap.rings[1]!.fromMs);
  } finally {
    await tap.stop();
  }
});

test('a call on a node that was just started again is not taken for lost with the process before', async () => {
  await addPair();
  const caller = `ann-${round}`;
  await app.addPhone(one, caller, { ringOnly: true });
  const { id } = await app.call(`user:${caller}`, '9196', RINGS_ON);
  await app.callIs(id, 'ringing');
  await app.addPhone(one, `bob-${round}`, { answerAfterMs: 20 });
  const other = await app.call(`user:bob-${round}`, '9196');
  await app.callIs(other.id, 'answered');
  const before = { core_uuid: randomUUID() }; // as while the restart is not written down yet
  await stores.db('nodes').where({ id: one.id }).update(before);
  one.faults.freeze();
  await app.nodeIs(one, 'down');
  await until('nobody has a connection to it', async () => {
    return (await app.api('POST', `/v1/calls/${other.id}/hold`)).body.code === 'node_unreachable';
  });
  await setTimeout(600); // more than one look of the call's job
  one.faults.thaw();
  await app.nodeIs(one, 'serving');
  const after = (await stores.db('nodes').where({ id: one.id }).first('core_uuid')) as { core_uuid: string };
  expect(after.core_uuid).toBe(one.coreUuid);
  expect(await app.readCall(id)).toMatchObject({ state: 'ringing', attempts: [{ number: 1, result: null }] });
});

test('a node is killed while two people talk: the call is lost, nobody is rung again, and the node comes back', async () => {
  await addPair();
  const [caller, called] = [`ann-${round}`, `bob-${round}`];
  await app.addPhone(one, caller, { answerAfterMs: 20 });
  await app.addPhone(one, called, { answerAfterMs: 20 });
  const { id } = await app.call(`user:${caller}`, `user:${called}`);
  await app.callIs(id, 'answered');
  await one.kill();
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome: 'lost', hangupCause: 'NODE_DIED' });
  expect(ended.attempts).toHaveLength(1);
  await until('its phones are known to be gone', async () => {
    const { body } = await app.api('GET', `/v1/users?domain=clinic.test&username=${caller}`);
    return body.items[0].registrations.length === 0;
  });
  await one.restart();
  await app.nodeIs(one, 'serving');
});

test('a node refuses: the other takes the call', async () => {
  await addPair();
  const [caller, called] = [`ann-${round}`, `bob-${round}`];
  await app.addPhone(one, caller, { answerAfterMs: 20 });
  await app.addPhone(two, called, { answerAfterMs: 20 });
  one.faults.refuse(1, 'SWITCH_CONGESTION');
  const { id } = await app.call(`user:${caller}`, `user:${called}`);
  const answered = await app.callIs(id, 'answered');
  expect(answered.attempts).toMatchObject([
    { number: 1, node: one.name, result: 'retried', hangupCause: 'SWITCH_CONGESTION', rangAt: null },
    { number: 2, node: two.name, result: null },
  ]);
});

test('every node refuses: the call ends after three attempts', async () => {
  await addPair();
  await app.addPhone(one, `ann-${round}`);
  one.faults.refuse(9);
  two.faults.refuse(9);
  const { id } = await app.call(`user:ann-${round}`, '9196');
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome: 'failed', hangupCause: 'SWITCH_CONGESTION' });
  expect(ended.attempts).toHaveLength(3);
  await until('nothing is claimed', async () => {
    return (await app.api('GET', `/v1/nodes/${one.id}`)).body.claimedUnits === 0;
  });
});

test('no capacity: a call waits, ends with no_capacity at its time, and the placement says why', async () => {
  one = await app.addNode(`one-${round}`, { capacity: 1 });
  await app.addPhone(one, `ann-${round}`, { answerAfterMs: 20 });
  await app.addPhone(one, `bob-${round}`, { answerAfterMs: 20 });
  const first = await app.call(`user:ann-${round}`, '9196');
  await app.callIs(first.id, 'answered');
  const second = await app.call(`user:bob-${round}`, '9196', { queueTimeoutSeconds: 1 });
  const ended = await app.callIs(second.id, 'ended');
  expect(ended).toMatchObject({ outcome: 'no_capacity', node: null, attempts: [], legs: [] });
  expect(Date.parse(ended.endedAt!) - Date.parse(ended.queuedAt!)).toBeGreaterThan(900);
  const { body } = await app.api('GET', `/v1/calls/${second.id}/placement`);
  expect(body.decisions[0]).toMatchObject({ node: null });
  expect(body.decisions[0].explanation).toContain(`${one.name}: not possible, because its capacity is claimed.`);
});

test('a call that waits is placed when capacity appears, and can be hung up while it waits', async () => {
  one = await app.addNode(`one-${round}`, { capacity: 1 });
  for (const name of ['ann', 'bob', 'eve']) await app.addPhone(one, `${name}-${round}`, { answerAfterMs: 20 });
  const first = await app.call(`user:ann-${round}`, '9196');
  await app.callIs(first.id, 'answered');
  const second = await app.call(`user:bob-${round}`, '9196', { queueTimeoutSeconds: 300 });
  const third = await app.call(`user:eve-${round}`, '9196', { queueTimeoutSeconds: 300 });
  await until('its placement was tried', async () => {
    return (await app.api('GET', `/v1/calls/${second.id}/placement`)).body.decisions.length > 0;
  });
  expect((await app.readCall(second.id)).state).toBe('queued');
  expect((await app.api('POST', `/v1/calls/${third.id}/hangup`)).body).toMatchObject({ outcome: 'cancelled' });
  await app.hangUp(first.id);
  await app.callIs(first.id, 'ended');
  await app.callIs(second.id, 'answered');
  expect((await app.readCall(third.id)).attempts).toEqual([]);
});
