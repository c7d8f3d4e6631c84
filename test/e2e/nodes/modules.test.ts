/** What a node can't do for want of a module: known when it joins, shown, and heeded by whoever places or asks. */
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let bare: Node;
let whole: Node | undefined;
const video = { width: 320, height: 180, fps: 10 };
const NOTE = "without mod_av it can't record mp4 or send relays";

beforeAll(async () => {
  app = await startApp(stores);
  bare = await app.addNode('bare', { withoutModules: ['mod_av'] });
});

const recordingsOf = async (roomId: string) =>
  (await app.must(200, 'GET', `/v1/recordings?domain=${DOMAIN}&roomId=${roomId}`)).items;

/** Somebody at the node that lacks mod_av is in a new room. */
async function enterRoom(name: string, who: string, settings: object = {}) {
  const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name, video, ...settings });
  const phone = await app.addPhone(bare, who);
  const call = phone.dial(name);
  const session = await until(`${who} is in ${name}`, async () => {
    const row = await stores.db('sessions').where({ room_id: room.id, state: 'live' }).first();
    return row as { id: string; node_id: string } | undefined;
  });
  return { room, call, session };
}

test('a node that lacks mod_av says so in the list of nodes, in the pool and in an event', async () => {
  const shown = (await app.must(200, 'GET', `/v1/nodes/${bare.id}`)).lacks;
  expect(shown).toEqual({ modules: ['mod_av'], features: ['mp4_recordings', 'relays'], note: NOTE });
  const [member] = (await app.must(200, 'GET', '/v1/pool')).nodes;
  expect(member.lacks).toEqual(shown);
  const event = await stores.db('events').where({ type: 'node.modules' }).first();
  expect(event.data).toEqual({ name: 'bare', missing: ['mod_av'], note: NOTE });
  expect(app.lines.some((line) => line.includes('a node lacks modules'))).toBe(true);
});

test('a recording that the node can not write is refused at once, with the module named, and none is made', async () => {
  const { room, call } = await enterRoom('unrecorded', 'ann');
  const refused = await app.api('POST', `/v1/rooms/${room.id}/recordings`, {});
  expect(refused).toMatchObject({ status: 409, body: { code: 'feature_missing' } });
  expect(refused.body.detail).toContain("The node bare: without mod_av it can't record mp4. So load mod_av there");
  expect(await recordingsOf(room.id)).toEqual([]);
  const sound = await app.api('POST', `/v1/rooms/${room.id}/recordings`, { format: 'wav' });
  expect(sound.status).toBe(201);
  call.hangup();
});

test('a relay is refused at once where no node can send it, also for a room that nobody is in', async () => {
  const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'unsent', video });
  const relay = { url: 'rtmp://127.0.0.1:1935/live', streamKey: 'key' };
  const refused = await app.api('POST', `/v1/rooms/${room.id}/relays`, relay);
  expect(refused).toMatchObject({ status: 409, body: { code: 'feature_missing' } });
  expect(refused.body.detail).toMatch(/^No serving node can do this\. bare: without mod_av it can't send relays\./);
});

test('where no node can record, people meet all the same, and the recording says at once why it failed', async () => {
  const { room, call } = await enterRoom('desired', 'bert', { record: true });
  const recording = await until('it is told', async () => (await recordingsOf(room.id))[0]);
  expect(recording).toMatchObject({
    state: 'failed',
    reason: "feature_missing: node bare: without mod_av it can't record mp4",
  });
  expect(bare.rooms()).toHaveLength(1);
  call.hangup();
});

test('a room that is recorded from the start goes to the node that can, although its phone is at the other', async () => {
  whole = await app.addNode('whole', { capacity: 100 });
  expect((await app.must(200, 'GET', `/v1/nodes/${whole.id}`)).lacks).toBeNull();
  const { room, call, session } = await enterRoom('recorded', 'cleo', { record: true });
  expect(session.node_id).toBe(whole.id);
  await until('it is recorded', async () => (await recordingsOf(room.id))[0]?.state === 'recording');
  const plain = await enterRoom('plain', 'dora');
  expect(plain.session.node_id).toBe(bare.id);
  call.hangup();
  plain.call.hangup();
});

test('a module that was loaded meanwhile counts at once for whoever asks, and soon for all', async () => {
  const { room, call } = await enterRoom('later', 'emil');
  expect((await app.api('POST', `/v1/rooms/${room.id}/recordings`, {})).status).toBe(409);
  bare.faults.unloadModules([]);
  expect((await app.api('POST', `/v1/rooms/${room.id}/recordings`, {})).status).toBe(201);
  await until('it is shown', async () => (await app.must(200, 'GET', `/v1/nodes/${bare.id}`)).lacks === null, 90_000);
  call.hangup();
});
