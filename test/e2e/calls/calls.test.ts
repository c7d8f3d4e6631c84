/** What somebody who asks for a call sees of it, from the first answer to the last event. */
import { useStores } from '../../stores';
import { startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let one: Node;
let two: Node;

beforeAll(async () => {
  app = await startApp(stores);
  one = await app.addNode('one');
  two = await app.addNode('two');
  await app.addPhone(one, 'ann', { answerAfterMs: 30 });
  await app.addPhone(one, 'bob', { answerAfterMs: 30 });
  await app.addPhone(two, 'eve', { answerAfterMs: 30 });
  await app.addPhone(two, 'busy', { busy: true });
  await app.addPhone(two, 'silent', { ringOnly: true });
  await app.addPhone(two, 'rejecting', { reject: true });
  await app.addPhone(one, 'chatty', { answerAfterMs: 30, hangupAfterMs: 1000 });
  await app.addUser('nowhere');
});

const nothingIsLeft = (): Promise<boolean> =>
  until('no channel is left', () => one.channelCount + two.channelCount === 0);

test.each([
  ['the same node', 'user:bob'],
  ['different nodes', 'user:eve'],
])('two users at %s are connected, and every step is told in order', async (_where, to) => {
  const asked = await app.call('user:ann', to, { metadata: { visit: '42' } });
  expect(asked).toMatchObject({ state: 'queued', outcome: null, from: 'user:ann', to, metadata: { visit: '42' } });
  const answered = await app.callIs(asked.id, 'answered');
  expect(answered).toMatchObject({ outcome: null, endedAt: null, talkSeconds: null });
  expect(answered.attempts).toHaveLength(1);
  expect(new Set(answered.legs.filter((l) => l.role !== 'transit').map((l) => l.role))).toEqual(
    new Set(['from', 'to']),
  );

  await app.hangUp(asked.id);
  const ended = await app.callIs(asked.id, 'ended');
  expect(ended).toMatchObject({ outcome: 'answered', hangupCause: 'NORMAL_CLEARING', node: answered.node });
  expect(ended.legs.every((leg) => leg.state === 'ended')).toBe(true);
  await nothingIsLeft();
  const types = (await app.eventsOf(asked.id)).filter((type) => !type.startsWith('call.leg_'));
  expect(types).toEqual(['call.queued', 'call.placing', 'call.ringing', 'call.answered', 'call.ended']);
});

test('the seconds of a call are those it was answered for', async () => {
  const { id } = await app.call('user:ann', 'user:chatty');
  const ended = await app.callIs(id, 'ended');
  expect(ended.outcome).toBe('answered');
  const answeredMs = Date.parse(ended.endedAt!) - Date.parse(ended.answeredAt!);
  expect(answeredMs).toBeGreaterThan(800);
  expect(Math.abs(ended.talkSeconds! * 1000 - answeredMs)).toBeLessThanOrEqual(50); // told in tenths of a second
});

test('why a node was chosen can be read, with the reasons for and against each', async () => {
  const { id } = await app.call('user:ann', 'user:nowhere');
  const ended = await app.callIs(id, 'ended');
  const { body } = await app.api('GET', `/v1/calls/${id}/placement`);
  expect(body.decisions).toHaveLength(1);
  expect(body.decisions[0]).toMatchObject({ attempt: 1, policy: 'least_loaded', node: ended.node });
  expect(ended.node).toBe('one'); // where the caller's phone is
  expect(body.decisions[0].considered.map((c: { node: string }) => c.node).sort()).toEqual(['one', 'two']);
  const text = body.decisions[0].explanation.join('\n');
  expect(text).toMatch(/one: chosen, score [\d.]+ = free capacity .*the caller's phone is registered there/);
  expect(text).toMatch(/two: possible, score/);
});

test.each([
  ['user:busy', 'busy', 'USER_BUSY'],
  ['user:rejecting', 'rejected', 'CALL_REJECTED'],
  ['user:nowhere', 'unreachable', 'USER_NOT_REGISTERED'],
])('a call to %s ends %s', async (to, outcome, hangupCause) => {
  const { id } = await app.call('user:ann', to);
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome, hangupCause, talkSeconds: null, answeredAt: null });
  expect(ended.attempts).toHaveLength(1);
});

test('a phone that only rings is given up after the time that was asked for', async () => {
  const { id } = await app.call('user:ann', 'user:silent', { ringTimeoutSeconds: 5 });
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome: 'no_answer', ringingAt: expect.any(String), answeredAt: null });
  await nothingIsLeft();
});

test('a caller who is not there ends the call before anybody else rings', async () => {
  const { id } = await app.call('user:nowhere', 'user:bob');
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome: 'unreachable', hangupCause: 'USER_NOT_REGISTERED' });
  expect(ended.legs.map((leg) => leg.role)).toEqual(['from']);
});

test('the echo test answers', async () => {
  const { id } = await app.call('user:ann', '9196');
  await app.callIs(id, 'answered');
  await app.hangUp(id);
  expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'answered', to: '9196' });
});

test('a call that a phone dials is listed as any other', async () => {
  const phone = await app.addPhone(one, 'dialler');
  const dialled = phone.dial('eve');
  expect(await dialled.answered).toBe(true);
  const call = await until('it is listed', async () => {
    const { body } = await app.api('GET', '/v1/calls?state=answered');
    return body.items.find((c: { from: string }) => c.from === 'user:dialler');
  });
  expect(call).toMatchObject({ origin: 'phone', to: 'user:eve', node: 'one', domain: 'clinic.test' });
  dialled.hangup();
  const ended = await app.callIs(call.id, 'ended');
  expect(ended).toMatchObject({ outcome: 'answered', hangupCause: 'NORMAL_CLEARING' });
  expect(await phone.dial('no-such-number').ended).toBe('UNALLOCATED_NUMBER');
  expect(await phone.dial('busy').ended).toBe('USER_BUSY');
  await nothingIsLeft();
});

test('a call can be ended while the caller rings, and while the other end does', async () => {
  await app.addPhone(one, 'slow', { ringOnly: true });
  for (const [from, to] of [
    ['user:slow', 'user:bob'],
    ['user:ann', 'user:silent'],
  ]) {
    const { id } = await app.call(from!, to!);
    await app.callIs(id, 'ringing');
    await app.hangUp(id);
    expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'cancelled', answeredAt: null });
    expect((await app.api('POST', `/v1/calls/${id}/hangup`)).status).toBe(200);
    await nothingIsLeft();
  }
});

test('who can not be called is said at once', async () => {
  const ask = async (from: string, to: string) =>
    (await app.api('POST', '/v1/calls', { domain: 'clinic.test', from, to })).body;
  expect(await ask('user:nobody', 'user:bob')).toMatchObject({ status: 422, code: 'unprocessable' });
  expect(await ask('user:ann', 'user:nobody')).toMatchObject({ status: 422, code: 'unprocessable' });
  expect(await ask('room:daily', 'user:ann')).toMatchObject({ status: 422, fix: expect.stringContaining('/dial') });
  expect(await ask('user:ann', 'user:a@b')).toMatchObject({ status: 400, code: 'invalid_address' });
  expect(await ask('user:ann', 'tel:+4930123')).toMatchObject({ status: 422, code: 'unprocessable' });
  expect((await ask('tel:+4930123', 'user:ann')).detail).toMatch(/^tel:\+4930123 can't be called/);
});

test('a call that is put on hold twice is on hold, and taken from it twice it is not', async () => {
  const { id } = await app.call('user:ann', 'user:bob');
  await app.callIs(id, 'answered');
  for (const action of ['hold', 'hold', 'unhold', 'unhold']) await app.must(200, 'POST', `/v1/calls/${id}/${action}`);
  await until('one hold and its end are told', async () => {
    const types = await app.eventsOf(id);
    return types.filter((type) => type === 'call.held').length === 1 && types.includes('call.unheld');
  });
  await app.hangUp(id);
  await app.callIs(id, 'ended');
});

test('the document names the refusals that calls and nodes answer with', async () => {
  const { paths } = (await app.api('GET', '/openapi.json')).body;
  const statuses = (path: string, method: string): string[] => Object.keys(paths[path][method].responses);
  expect(statuses('/v1/calls', 'post')).toEqual(expect.arrayContaining(['400', '404', '422']));
  expect(statuses('/v1/calls/{id}/hangup', 'post')).toEqual(expect.arrayContaining(['503', '504']));
  expect(statuses('/v1/calls/{id}/transfer', 'post')).toEqual(expect.arrayContaining(['409', '422', '502']));
  expect(statuses('/v1/nodes/{id}', 'delete')).toContain('409');
  expect(statuses('/v1/pool/simulate', 'post')).toContain('422');
});
