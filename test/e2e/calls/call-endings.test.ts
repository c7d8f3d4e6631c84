/** What people are told of how a call or a stay in a room ended: by somebody, by a lost connection, by a hold without end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Answer, type Node, type App } from '../harness';

const stores = useStores();
let app: App;
let node: Node;
let other: Node;

beforeAll(async () => {
  app = await startApp(stores, {
    mediaTimeoutBrowserSeconds: 1,
    mediaTimeoutPhoneSeconds: 3,
    holdLimitMinutes: 3 / 60,
  });
  node = await app.addNode('one');
  other = await app.addNode('two');
});
afterAll(() => app?.close());

let count = 0;
const newName = (): string => `person${(count += 1)}`;

async function enterRoom(at: Node, roomId: string, grantBody: object = {}) {
  const grant = (await app.must(201, 'POST', `/v1/rooms/${roomId}/grants`, grantBody)) as Answer['body'];
  const guest = at.addGuest({ username: grant.username, realm: grant.realm, ha1: grant.ha1 });
  const dialled = await guest.dial('room');
  expect(await dialled.answered).toBe(true);
  return { grant, dialled };
}
const makeRoom = async (): Promise<string> =>
  (await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: newName() })).id;
const people = async (roomId: string) => (await app.must(200, 'GET', `/v1/rooms/${roomId}/participants`)).items;
const sessionsOf = async (roomId: string) => (await app.must(200, 'GET', `/v1/rooms/${roomId}/sessions`)).items;
const eventsOf = async (query: string) =>
  (await app.must(200, 'GET', `/v1/events?format=json&limit=1000&domain=${DOMAIN}&${query}`)).items;

test.each(['from', 'to'])(
  'the end whose phone died (%s) is told as a lost connection, also in its record',
  async (who) => {
    const [ann, ben] = [newName(), newName()];
    const dies = { answerAfterMs: 10, diesAfterMs: 300 };
    await app.addPhone(node, ann, who === 'from' ? dies : { answerAfterMs: 10 });
    await app.addPhone(node, ben, who === 'to' ? dies : { answerAfterMs: 10 });
    const { id } = await app.call(`user:${ann}`, `user:${ben}`);
    await app.callIs(id, 'answered');
    expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'connection_lost', hangupCause: 'MEDIA_TIMEOUT' });
    const ended = (await eventsOf(`callId=${id}`)).find((e: { type: string }) => e.type === 'call.ended');
    expect(ended.data).toMatchObject({ outcome: 'connection_lost' });
  },
);

test('it is told so as well where the phone that died is at another node', async () => {
  const [ann, ben] = [newName(), newName()];
  await app.addPhone(node, ann, { answerAfterMs: 10 });
  await app.addPhone(other, ben, { answerAfterMs: 10, diesAfterMs: 300 });
  const { id } = await app.call(`user:${ann}`, `user:${ben}`);
  await app.callIs(id, 'answered');
  expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'connection_lost' });
});

test('in a room the killed page is out, told as lost, and the last one takes the room with it', async () => {
  const roomId = await makeRoom();
  const first = await enterRoom(node, roomId, { identity: 'ada' });
  const second = await enterRoom(other, roomId, { identity: 'ben' });
  await until('both are in', async () => (await people(roomId)).every((p: { state: string }) => p.state === 'in'));
  second.dialled.die();
  const gone = (identity: string) =>
    until(`${identity} is gone`, async () => {
      const left = await eventsOf(`roomId=${roomId}&types=participant.left`);
      return left.find((e: { data: { identity: string } }) => e.data.identity === identity);
    });
  expect((await gone('ben')).data.reason).toBe('connection_lost');
  first.dialled.die();
  expect((await gone('ada')).data.reason).toBe('connection_lost');
  const ended = await until('the room is over', async () => {
    const [session] = await sessionsOf(roomId);
    return session.state === 'ended' ? session : undefined;
  });
  expect(ended.endReason).toBe('empty');
  await until('both calls are told as lost', async () => {
    const { items } = await app.must(200, 'GET', `/v1/calls?domain=${DOMAIN}&limit=2`);
    return items.every((call: { outcome: string }) => call.outcome === 'connection_lost');
  });
});

test('a call on hold stays until the limit, and ends with a reason of its own', async () => {
  const [ann, ben] = [newName(), newName()];
  const phone = await app.addPhone(node, ann, {});
  await app.addPhone(node, ben, { answerAfterMs: 10 });
  const dialled = phone.dial(ben);
  expect(await dialled.answered).toBe(true);
  const held = Date.now();
  dialled.hold(true);
  const [call] = (await app.must(200, 'GET', `/v1/calls?domain=${DOMAIN}&limit=1`)).items;
  const ended = await app.callIs(call.id, 'ended');
  expect(ended).toMatchObject({ outcome: 'hold_limit', hangupCause: 'ALLOTTED_TIMEOUT' });
  expect(Date.now() - held).toBeGreaterThan(2900);
  expect(ended.talkSeconds).toBeGreaterThan(2.5);
});

test('who came back from hold, unseen by any event, is not cut off', async () => {
  const [ann, ben] = [newName(), newName()];
  const phone = await app.addPhone(node, ann, {});
  await app.addPhone(node, ben, { answerAfterMs: 10 });
  const dialled = phone.dial(ben);
  expect(await dialled.answered).toBe(true);
  const [call] = (await app.must(200, 'GET', `/v1/calls?domain=${DOMAIN}&limit=1`)).items;
  await stores
    .db('legs')
    .where({ call_id: call.id })
    .update({ held_since: new Date(Date.now() - 3_600_000) });
  await until('what was written is taken back', async () => {
    const rows = await stores.db('legs').where({ call_id: call.id }).whereNotNull('held_since');
    return rows.length === 0;
  });
  expect((await app.readCall(call.id)).state).toBe('answered');
  dialled.hangup();
  expect(await app.callIs(call.id, 'ended')).toMatchObject({ outcome: 'answered' });
});

test('a hold over REST counts as one, and a phone that only holds and comes back goes on', async () => {
  const [ann, ben] = [newName(), newName()];
  await app.addPhone(node, ann, { answerAfterMs: 10 });
  await app.addPhone(node, ben, { answerAfterMs: 10 });
  const { id } = await app.call(`user:${ann}`, `user:${ben}`);
  await app.callIs(id, 'answered');
  await app.must(200, 'POST', `/v1/calls/${id}/hold`);
  await sleep(1000);
  await app.must(200, 'POST', `/v1/calls/${id}/unhold`);
  await sleep(4000);
  expect((await app.readCall(id)).state).toBe('answered');
  await app.must(200, 'POST', `/v1/calls/${id}/hold`);
  expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'hold_limit' });
});
