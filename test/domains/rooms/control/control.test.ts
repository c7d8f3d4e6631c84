import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ParticipantView } from '../../../../src/domains/rooms/participants/view';
import { updateParticipant } from '../../../../src/domains/rooms/participants/participants.store';
import { insertSession } from '../../../../src/domains/rooms/sessions/sessions.store';
import { createId } from '../../../../src/infra/ids';
import { ADMIN_KEY, type TestApi } from '../../../http/start-api';
import { until } from '../../../e2e/harness';
import { PNG, type ScriptedRoom } from '../scripted-room';
import { useControlApi } from '../control-api';

const steered = useControlApi();
const { stores, calls, enter, at, call, events } = steered;
let api: TestApi;
let room: ScriptedRoom;
let domainId: string;
let roomId: string;
let sessionId: string;

beforeEach(() => {
  ({ api, room, domainId, roomId, sessionId } = steered.now());
});

test('who is in is shown with what is desired for them, what was seen, and the session', async () => {
  const ada = await enter(1, 'ada');
  const { status, body } = await call('GET', '/participants');
  expect(status).toBe(200);
  expect(body.session).toMatchObject({ id: sessionId, node: 'n1', state: 'live' });
  expect(body.items).toHaveLength(1);
  expect(body.items[0]).toMatchObject({
    id: ada,
    identity: 'user:ada',
    desired: { muted: false },
    observed: { muted: false, videoMuted: false, deaf: false, hasVideo: true },
    pending: [],
  });
  expect((await call('GET', `/participants/${ada}`)).body.id).toBe(ada);
});

test('those who are awaited after the room moved are shown as away', async () => {
  const ada = await enter(1, 'ada');
  const next = { ...(await stores.db('sessions').where({ id: sessionId }).first()), id: createId(), epoch: '2' };
  await stores.db('sessions').where({ id: sessionId }).update({ state: 'ended', end_reason: 'node_died' });
  await updateParticipant(stores.db, ada, ['in'], { state: 'away', member_id: null, leg_id: null });
  await insertSession(stores.db, { ...next, settings: {}, observed: {} });
  const { body } = await call('GET', '/participants');
  expect(body.session.id).toBe(next.id);
  expect(body.items).toMatchObject([{ id: ada, state: 'away' }]);
});

test('a mute is answered when the node was seen to have done it, and done again when it comes undone', async () => {
  const ada = await enter(1, 'ada');
  const muted = await call('PATCH', `/participants/${ada}`, { muted: true, videoMuted: true });
  expect(muted.body).toMatchObject({ observed: { muted: true, videoMuted: true }, pending: [] });
  room.members.get(1)!.speak = true;
  await room.tell('unmute-member', 1);
  await until('ada is muted again', () => room.members.get(1)!.speak === false);
  room.members.get(1)!.hear = false; // and no event tells of it
  await until('ada hears again', () => room.members.get(1)!.hear);
  expect(await events('participant.changed')).toHaveLength(1);
});

test('somebody who comes back under another number is muted again', async () => {
  const ada = await enter(1, 'ada');
  await call('PATCH', `/participants/${ada}`, { muted: true });
  await room.tell('del-member', 1);
  room.members.delete(1);
  const back = room.enter(7);
  await updateParticipant(stores.db, ada, ['in'], { member_id: 7, leg_id: back.legId, observed: {} });
  await room.tell('add-member', 7);
  await until('ada is muted', () => !back.speak);
});

test('+OK is not success: what is not seen is pending, tried again, and given up once', async () => {
  const ada = await enter(1, 'ada');
  room.deafTo.add('mute');
  const answer = await call('PATCH', `/participants/${ada}`, { muted: true });
  expect(answer.body).toMatchObject({ desired: { muted: true }, observed: { muted: false }, pending: ['muted'] });
  await until('it is given up', async () => (await events('participant.change_failed')).length > 0, 90_000);
  expect((await events('participant.change_failed'))[0]!.data).toMatchObject({
    what: 'muted',
    wanted: true,
    seen: false,
    tries: 5,
    participantId: ada,
  });
  const tries = room.lines.filter((l) => l.endsWith(' mute 1')).length;
  expect(tries).toBe(5);
  expect((await call('GET', `/participants/${ada}`)).body.failed).toEqual(['muted']);
  room.deafTo.clear();
  const again = await call('PATCH', `/participants/${ada}`, { muted: true });
  expect(again.body).toMatchObject({ observed: { muted: true }, pending: [], failed: [] });
});

test('all but the moderators are muted at once', async () => {
  await enter(1, 'teacher', 'moderator');
  await enter(2, 'bob');
  await enter(3, 'cyd');
  const { body } = await call('POST', '/mute-all', {});
  expect(body.items.map((p: ParticipantView) => [p.name, p.observed.muted])).toEqual([
    ['teacher', false],
    ['bob', true],
    ['cyd', true],
  ]);
  expect(await events('participant.changed')).toHaveLength(2);
});

test('the floor goes to who is named, and back to them while it is held', async () => {
  const ada = await enter(1, 'ada');
  const bob = await enter(2, 'bob');
  await room.api('', { line: `conference ${sessionId} floor 2` });
  const { body } = await call('PUT', '/floor', { participantId: ada });
  expect(body.floor).toEqual({ heldFor: ada, participantId: ada });
  expect(body.videoFloor).toEqual({ heldFor: ada, participantId: ada });
  expect([room.floor, room.videoFloor, room.videoHeld]).toEqual([1, 1, true]);
  room.videoFloor = 2;
  await room.tell('video-floor-change', undefined, { 'New-ID': '2' });
  await until('the video is back with ada', () => room.videoFloor === 1);
  await call('PUT', '/floor', { participantId: null });
  expect(room.videoHeld).toBe(false);
  expect((await events('floor.changed')).map((e) => e.data.participantId)).toEqual([ada, null]);
  expect((await call('PUT', '/floor', { participantId: bob, hold: false })).body.videoFloor.heldFor).toBeNull();
  expect((await call('PUT', '/floor', { participantId: bob, audio: false, video: false })).status).toBe(400);
});

test('the floor is given once, also after a silence: what the node has just told counts before it is told to others', async () => {
  const ada = await enter(1, 'ada');
  await enter(2, 'bob');
  await room.api('', { line: `conference ${sessionId} floor 2` });
  await sleep(2500); // a session's row is known for two seconds after an event: from then on each floor is looked at
  await call('PUT', '/floor', { participantId: ada });
  await sleep(1500); // at once, or behind the half second in which a floor is told once, it would be taken in hand again
  expect(room.lines.filter((line) => line.endsWith(' floor 1'))).toHaveLength(1);
  expect(room.floor).toBe(1);
});

test('the floor is given once although the node tells of it late, and others look at the room meanwhile', async () => {
  const ada = await enter(1, 'ada');
  await enter(2, 'bob');
  await room.api('', { line: `conference ${sessionId} floor 2` });
  const arrive = room.delayEvents();
  const given = call('PUT', '/floor', { participantId: ada });
  await until('the node has done it', () => room.floor === 1);
  await call('PATCH', `/participants/${ada}`, { muted: true });
  expect(room.lines.filter((line) => line.endsWith(' floor 1'))).toHaveLength(1);
  arrive();
  await given;
  await until('it is told', async () => (await call('GET', `/participants/${ada}`)).body.floor);
  expect(room.floor).toBe(1);
});

test('raised hands are a queue, and the floor goes round', async () => {
  const [ada, bob] = [await enter(1, 'ada'), await enter(2, 'bob')];
  await call('POST', `/participants/${bob}/hand`, {});
  await call('POST', `/participants/${ada}/hand`, {});
  await call('POST', `/participants/${bob}/hand`, {}); // twice is once
  const { body } = await call('GET', '/hands');
  expect(body.items.map((p: ParticipantView) => [p.name, p.hand?.position])).toEqual([
    ['bob', 1],
    ['ada', 2],
  ]);
  const next = await call('POST', '/hands/next', {});
  expect(next.body.participant).toMatchObject({ id: bob, hand: null, videoFloor: true });
  expect(next.body.hands.map((p: ParticipantView) => p.name)).toEqual(['ada']);
  await call('DELETE', `/participants/${ada}/hand`);
  expect((await call('POST', '/hands/next', {})).body).toEqual({ participant: null, hands: [] });
  expect((await events('hand.raised')).length).toBe(2);
  expect((await events('hand.lowered')).map((e) => e.data.reason)).toEqual(['next', 'lowered']);
});

test('lock and layout are confirmed; a layout that does not exist is refused', async () => {
  await enter(1, 'ada');
  expect((await call('PUT', '/lock', { locked: true })).body.locked).toEqual({ desired: true, observed: true });
  expect((await call('PUT', '/layout', { layout: '2x2' })).body.layout).toEqual({ desired: '2x2', observed: '2x2' });
  const refused = await call('PUT', '/layout', { layout: 'nosuch' });
  expect([refused.status, refused.body.code]).toEqual([422, 'unprocessable']);
  room.locked = false; // somebody unlocks it at the node, and no event comes
  await until('it is locked again', () => room.locked);
});

test('sounds are played, stopped, and said to be missing', async () => {
  const ada = await enter(1, 'ada');
  expect((await call('POST', '/play', { tone: '%(200,100,440)', participantId: ada })).status).toBe(202);
  expect(room.lines).toContain(`conference ${sessionId} play tone_stream://%(200,100,440) 1`);
  expect((await call('POST', '/play', { file: 'no/such.wav' })).status).toBe(422);
  expect((await call('POST', '/play', { text: 'Hello' })).status).toBe(202);
  expect((await call('POST', '/stop', {})).body).toEqual({ stopped: 2 });
  for (const body of [{}, { file: 'a.wav', text: 'x' }, { file: '../../etc/passwd.wav' }, { tone: 'say:x ${a}' }]) {
    expect((await call('POST', '/play', body)).status).toBe(400);
  }
});

test('tones are read before they are played, and a room has only so much of them', async () => {
  await enter(1, 'ada');
  const play = async (body: object) => (await call('POST', '/play', body)).status;
  await call('POST', '/stop', {});
  for (const tone of ['path=/etc/passwd', 'l=-1;%(100,0,440)', '%(1000000,0,440)', '%(100,0,440);loops=-1']) {
    const refused = await call('POST', '/play', { tone });
    expect([refused.status, refused.body.errors[0].path]).toEqual([400, 'tone']);
  }
  expect(room.lines.join('\n')).not.toMatch(/path=|l=-1|1000000/);
  expect(await play({ tone: 'd=100;w=50;1' })).toBe(202);
  expect(room.lines).toContain(`conference ${sessionId} play tone_stream://%(100,50,697,1209)`);
  expect(await play({ tone: '%(60000,0,440);loops=1000' })).toBe(202);
  expect(await play({ tone: '%(59000,0,440)' })).toBe(202);
  const refused = await call('POST', '/play', { tone: '%(1001,0,440)' });
  expect([refused.status, refused.body.code]).toEqual([409, 'conflict']);
  expect(refused.body.detail).toMatch(/120 s of tones/);
  await call('POST', '/stop', {});
  expect(await play({ tone: '%(1000,0,440)' })).toBe(202);
  await call('POST', '/stop', {});
  for (let i = 0; i < 20; i += 1) expect(await play({ tone: '%(5000,0,440);loops=100' })).toBe(202);
  expect(await play({ text: 'Hello' })).toBe(409);
  await call('POST', '/stop', {});
  for (let i = 0; i < 25; i += 1) expect(await play({ file: 'no/such.wav' })).toBe(422); // what does not play waits for nothing
});

test('the video comes as PNG, and its file is gone from the node', async () => {
  await enter(1, 'ada');
  const answer = await fetch(api.url + at('/snapshot.png'), { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
  expect(answer.headers.get('content-type')).toBe('image/png');
  expect(Buffer.from(await answer.arrayBuffer()).equals(PNG)).toBe(true);
  const file = /vid-write-png (\S+)/.exec(room.lines.join('\n'))![1]!;
  expect(file).toMatch(/^\/tmp\/snapshot-[0-9a-f-]+\.png$/); // a folder with a blank in its name is not trusted
  expect(room.lines).toContain(`spawn_stream rm -f ${file}`);
});

test('somebody is removed, or moved to another room of the domain', async () => {
  const [ada, bob] = [await enter(1, 'ada'), await enter(2, 'bob')];
  expect((await call('DELETE', `/participants/${ada}`)).status).toBe(204);
  expect(room.lines.some((l) => l.endsWith('hup 1'))).toBe(true);
  expect((await call('GET', `/participants/${ada}`)).body).toMatchObject({ state: 'left', leaveReason: 'removed' });
  expect((await call('DELETE', `/participants/${ada}`)).status).toBe(409);
  const other = createId();
  await stores.db('rooms').insert({ id: other, domain_id: domainId, name: `other-${other}` });
  expect((await call('POST', `/participants/${bob}/move`, { room: 'nosuch' })).status).toBe(422);
  const leg = room.members.get(2)!.legId;
  expect((await call('POST', `/participants/${bob}/move`, { room: `other-${other}` })).body.roomId).toBe(other);
  const sent = room.lines.find((line) => line.startsWith('uuid_transfer '));
  expect(sent).toMatch(new RegExp(`^uuid_transfer ${leg} ticket-[0-9a-f]{32} XML rooms$`));
  expect((await call('GET', `/participants/${bob}`)).body.leaveReason).toBe('moved_to_room');
});

test('a user is called into the room', async () => {
  expect((await call('POST', '/dial', { to: 'user:ada', ringTimeoutSeconds: 20 })).status).toBe(201);
  expect(calls.at(-1)).toMatchObject({ from: 'user:ada', to: `room:r-${roomId}`, ringTimeoutSeconds: 20 });
});

test('where nobody is in the room it says so, and strangers are not found', async () => {
  const ada = await enter(1, 'ada');
  expect((await call('PATCH', `/participants/${randomUUID()}`, { muted: true })).status).toBe(404);
  await stores.db('sessions').where({ id: sessionId }).update({ state: 'ended', end_reason: 'empty' });
  await updateParticipant(stores.db, ada, ['in'], { state: 'left' });
  expect((await call('GET', '/participants')).body).toMatchObject({ session: null, items: [] });
  expect((await call('PATCH', `/participants/${ada}`, { muted: true })).status).toBe(409);
  for (const [method, path, body] of [
    ['PUT', '/lock', { locked: true }],
    ['PUT', '/layout', { layout: '2x2' }],
    ['PUT', '/floor', { participantId: null }],
    ['POST', '/mute-all', {}],
    ['POST', '/hands/next', {}],
    ['POST', '/play', { text: 'x' }],
    ['GET', '/snapshot.png', undefined],
  ] as const) {
    expect([path, (await call(method, path, body)).body.code]).toEqual([path, 'conflict']);
  }
  expect((await api.call('GET', `/v1/rooms/${randomUUID()}/participants`)).status).toBe(404);
});

test('live listeners see the whole video first, then who talks and who has the floor, twice a second at most', async () => {
  const [ada] = [await enter(1, 'ada'), await enter(2, 'bob')];
  const stop = new AbortController();
  const answer = await fetch(api.url + at('/live'), {
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
    signal: stop.signal,
  });
  let text = '';
  const reading = (async () => {
    for await (const chunk of answer.body!) text += Buffer.from(chunk).toString();
  })().catch(() => undefined);
  const video = await until('the video', () => /event: state\ndata: (.*)\n\n/.exec(text)?.[1]);
  expect(JSON.parse(video).items).toHaveLength(2);
  await room.tell('start-talking', 1, { Talking: 'true' });
  await until('ada talks', () => text.includes(`{"participantId":"${ada}","talking":true}`));
  expect((await call('GET', `/participants/${ada}`)).body.talking).toBe(true);
  const startedAt = Date.now();
  for (let i = 0; i <= 40; i += 1) {
    room.floor = 1 + (i % 2);
    await room.tell('floor-change', room.floor, { 'New-ID': String(room.floor) });
  }
  await until('ada has the floor', async () => (await call('GET', `/participants/${ada}`)).body.floor);
  const told = text.split('event: floor').length - 1;
  // One from before, one at once, and what the half seconds since allow; a timer may be a little early.
  expect(told).toBeLessThanOrEqual(2 + Math.ceil((Date.now() - startedAt) / 500));
  expect(text).not.toMatch(/^id:/m);
  stop.abort();
  await reading;
});

test('while the node is away a desired change waits, and comes true when it is back', async () => {
  const ada = await enter(1, 'ada');
  room.isUp = false;
  expect((await call('PATCH', `/participants/${ada}`, { deaf: true })).body.pending).toEqual(['deaf']);
  room.isUp = true;
  await until('ada is deaf', () => !room.members.get(1)!.hear);
});

test("a number that no member can have is nobody's, and what is reported beside it counts", async () => {
  const ada = await enter(1, 'ada');
  for (const id of ['99999999999', '1.5', '1e300', 'Infinity', '-1']) {
    await room.tell('add-member', undefined, { 'New-ID': id });
    await room.tell('video-floor-change', undefined, { 'New-ID': id });
  }
  expect((await call('GET', `/participants/${ada}`)).body.id).toBe(ada);
});
