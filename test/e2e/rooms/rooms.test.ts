/** What people get of a room: they meet wherever they come in, and are kept out where they should be. */
import { randomUUID } from 'node:crypto';
import { findRoom } from '../../../src/domains/rooms/rooms.store';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Answer, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let one: Node;
let two: Node;

beforeAll(async () => {
  app = await startApp(stores);
  one = await app.addNode('one');
  two = await app.addNode('two');
});

let made = 0;
async function makeRoom(settings: Record<string, unknown> = {}): Promise<{ id: string; name: string }> {
  const name = `room-${(made += 1)}`;
  const { status, body } = await app.api('POST', '/v1/rooms', { domain: DOMAIN, name, ...settings });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return { id: body.id, name };
}
const people = async (roomId: string): Promise<Answer['body'][]> =>
  (await app.api('GET', `/v1/rooms/${roomId}/participants`)).body.items ?? [];
const present = (roomId: string, count: number) =>
  until(`${count} are in`, async () => {
    const items = (await people(roomId)).filter((p) => p.state === 'in');
    return items.length === count ? items : undefined;
  });
/** Somebody is in and was seen to be muted: their entry and what is seen of them are told one after the other. */
const isMuted = (roomId: string, identity: string): Promise<Answer['body']> =>
  until(`${identity} is in and muted`, async () =>
    (await people(roomId)).find((p) => p.identity === identity && p.state === 'in' && p.observed.muted),
  );
const sessions = async (roomId: string) => (await app.api('GET', `/v1/rooms/${roomId}/sessions`)).body.items;
const roomEvents = async (roomId: string, type: string) => {
  const query = `format=json&limit=1000&domain=${DOMAIN}&roomId=${roomId}&types=${type}`;
  return (await app.api('GET', `/v1/events?${query}`)).body.items;
};

test('two who dial the same room from phones at different nodes meet in one session', async () => {
  const room = await makeRoom();
  const ann = await app.addPhone(one, 'ann', { answerAfterMs: 10 });
  const ben = await app.addPhone(two, 'ben', { answerAfterMs: 10 });
  const first = ann.dial(room.name);
  expect(await first.answered).toBe(true);
  const second = ben.dial(room.name);
  expect(await second.answered).toBe(true);
  const items = await present(room.id, 2);
  expect(items.map((p) => p.identity).sort()).toEqual(['user:ann', 'user:ben']);
  const [session, ...others] = await sessions(room.id);
  expect(others).toEqual([]);
  expect(session).toMatchObject({ state: 'live', node: 'one', epoch: 1 });
  first.hangup();
  second.hangup();
  await until('the session is over', async () => (await sessions(room.id))[0].state === 'ended');
  expect((await sessions(room.id))[0].endReason).toBe('empty');
  const calls = await until('both calls have ended', async () => {
    const { items } = (await app.api('GET', `/v1/calls?domain=${DOMAIN}&limit=2`)).body;
    return items.every((call: { state: string }) => call.state === 'ended') ? items : undefined;
  });
  for (const call of calls) expect(call).toMatchObject({ to: `room:${room.name}`, outcome: 'answered' });
});

test('many who come first at the same moment, at both nodes, find one room', async () => {
  const room = await makeRoom();
  const phones = await Promise.all(
    Array.from({ length: 8 }, (_, i) => app.addPhone(i % 2 ? one : two, `crowd${i}`, { answerAfterMs: 5 })),
  );
  const calls = phones.map((phone) => phone.dial(room.name));
  expect(await Promise.all(calls.map((call) => call.answered))).toEqual(calls.map(() => true));
  await present(room.id, 8);
  expect(await sessions(room.id)).toHaveLength(1);
  for (const call of calls) call.hangup();
  await until('the session is over', async () => (await sessions(room.id))[0].state === 'ended');
});

test('a call that is asked for over REST puts a user into a room, and hangs up with it', async () => {
  const room = await makeRoom();
  await app.addPhone(one, 'cara', { answerAfterMs: 10 });
  const call = await app.call('user:cara', `room:${room.name}`);
  await app.callIs(call.id, 'answered');
  const [cara] = await present(room.id, 1);
  expect(cara.callId).toBe(call.id);
  expect((await app.api('DELETE', `/v1/rooms/${room.id}/participants/${cara.id}`)).status).toBe(204);
  expect((await app.callIs(call.id, 'ended')).outcome).toBe('answered');
  expect(await roomEvents(room.id, 'participant.left')).toMatchObject([{ data: { reason: 'removed' } }]);
});

test('a PIN is asked of those who dial in: right it lets in, the moderators PIN gives the role', async () => {
  const room = await makeRoom({ pin: '4711', moderatorPin: '123456' });
  const dan = await app.addPhone(one, 'dan');
  const eva = await app.addPhone(one, 'eva');
  const first = dan.dial(room.name, { digits: ['4711#'] });
  const second = eva.dial(room.name, { digits: ['99#', '123456#'] });
  const items = await present(room.id, 2);
  expect(items.map((p) => [p.identity, p.role]).sort()).toEqual([
    ['user:dan', 'participant'],
    ['user:eva', 'moderator'],
  ]);
  first.hangup();
  second.hangup();
});

test('a room ends with its last moderator, also where that was said, or they were made one, while it went on', async () => {
  const [ends, stays] = [await makeRoom({ moderatorPin: '123456' }), await makeRoom({ moderatorPin: '123456' })];
  const calls = await Promise.all(
    [stays, ends].map(async (room, i) => {
      const [guest, host] = [await app.addPhone(one, `guest${i}`), await app.addPhone(two, `host${i}`)];
      const both = [guest.dial(room.name, { digits: ['#'] }), host.dial(room.name, { digits: ['123456#'] })];
      const items = await present(room.id, 2);
      const changed = await app.api('PATCH', `/v1/rooms/${room.id}`, { endWithModerator: true });
      expect(changed.body.pending).toEqual([]);
      const { id } = items.find((p) => p.role === 'participant')!;
      if (room === stays) await app.api('PATCH', `/v1/rooms/${room.id}/participants/${id}`, { role: 'moderator' });
      both[1]!.hangup();
      await present(room.id, 1);
      return both;
    }),
  );
  await until('the room is over', async () => (await sessions(ends.id))[0].state === 'ended');
  expect((await sessions(ends.id))[0].endReason).toBe('moderator_left');
  await calls[1]![0]!.ended;
  expect((await sessions(stays.id))[0].state).toBe('live');
  calls[0]![0]!.hangup();
  await until('the other is over', async () => (await sessions(stays.id))[0].endReason === 'empty');
});

test('a PIN that is wrong three times ends the call, and is told', async () => {
  const room = await makeRoom({ pin: '4711' });
  const fay = await app.addPhone(two, 'fay');
  const call = fay.dial(room.name, { digits: ['1#', '22#', '333#', '4711#'] });
  await call.ended;
  expect(await roomEvents(room.id, 'participant.refused')).toMatchObject([
    { data: { reason: 'wrong_pin', identity: 'user:fay' } },
  ]);
  expect(await people(room.id)).toEqual([]);
});

test('a locked room and a full room turn callers away with a status, and say so', async () => {
  const room = await makeRoom({ maxParticipants: 2 });
  const [gus, hal, ida] = await Promise.all(['gus', 'hal', 'ida'].map((name) => app.addPhone(one, name)));
  const calls = [gus!.dial(room.name), hal!.dial(room.name)];
  await present(room.id, 2);
  const late = ida!.dial(room.name);
  expect(await late.answered).toBe(false);
  expect(await late.ended).toBe('USER_BUSY');
  calls[1]!.hangup();
  await present(room.id, 1);
  expect((await app.api('PUT', `/v1/rooms/${room.id}/lock`, { locked: true })).status).toBe(200);
  expect(await ida!.dial(room.name).answered).toBe(false);
  const refused = await roomEvents(room.id, 'participant.refused');
  expect(refused.map((e: { data: { reason: string } }) => e.data.reason)).toEqual(['full', 'locked']);
  calls[0]!.hangup();
});

test('who was muted is muted when they come back', async () => {
  const room = await makeRoom();
  const [jan, kim] = await Promise.all(['jan', 'kim'].map((name) => app.addPhone(two, name)));
  const stays = jan!.dial(room.name);
  const leaves = kim!.dial(room.name);
  const before = (await present(room.id, 2)).find((p) => p.identity === 'user:kim');
  const muted = await app.api('PATCH', `/v1/rooms/${room.id}/participants/${before.id}`, { muted: true });
  expect(muted.status).toBe(200);
  await isMuted(room.id, 'user:kim');
  leaves.hangup();
  await present(room.id, 1);
  const again = kim!.dial(room.name);
  expect((await isMuted(room.id, 'user:kim')).id).toBe(before.id);
  stays.hangup();
  again.hangup();
});

test('a room whose node dies goes on at the other node: everybody is told where, and who was called is called again', async () => {
  const room = await makeRoom({ mutedOnEntry: false });
  const three = await app.addNode('three');
  await app.addPhone(one, 'lea', { answerAfterMs: 10 });
  const dialled = await app.addPhone(three, 'max');
  for (const node of [one, two]) await app.must(200, 'POST', `/v1/nodes/${node.id}/drain`, {});
  dialled.dial(room.name);
  await present(room.id, 1);
  for (const node of [one, two]) await app.must(200, 'POST', `/v1/nodes/${node.id}/resume`);
  expect((await sessions(room.id))[0].node).toBe('three');
  await app.call('user:lea', `room:${room.name}`);
  const items = await present(room.id, 2);
  const lea = items.find((p) => p.identity === 'user:lea');
  await app.api('PATCH', `/v1/rooms/${room.id}/participants/${lea.id}`, { muted: true });
  await app.api('PUT', `/v1/rooms/${room.id}/layout`, { layout: '2x2' });
  await three.kill();
  const moved = await until('the room moves', async () => {
    const events = await roomEvents(room.id, 'participant.moved');
    return events.length === 2 ? events : undefined;
  });
  expect(moved[0].data).toMatchObject({ reason: 'node_died', wssUrl: expect.stringMatching(/^ws:/) });
  await present(room.id, 1);
  expect((await isMuted(room.id, 'user:lea')).id).toBe(lea.id);
  const [now, old] = await sessions(room.id);
  expect(old).toMatchObject({ node: 'three', state: 'ended', endReason: 'node_died' });
  expect(now).toMatchObject({ state: 'live', epoch: old.epoch + 1, meetingId: old.meetingId });
  await until('the layout is the one that was desired', async () => {
    const { session } = (await app.api('GET', `/v1/rooms/${room.id}/participants`)).body;
    return session.layout.desired === '2x2' && session.layout.observed === '2x2';
  });
});

test('a telephone whose answer is told late is back in its room as well after the node of the room died', async () => {
  const room = await makeRoom();
  const four = await app.addNode('four');
  const ned = await app.addPhone(one, 'ned');
  for (const node of [one, two]) await app.must(200, 'POST', `/v1/nodes/${node.id}/drain`, {});
  const call = ned.dial(room.name);
  expect(await call.answered).toBe(true);
  const [before] = await present(room.id, 1);
  for (const node of [one, two]) await app.must(200, 'POST', `/v1/nodes/${node.id}/resume`);
  expect((await sessions(room.id))[0].node).toBe('four');
  const leg = stores.db('legs').where({ call_id: before.callId, role: 'from' });
  await until('it has answered', async () => (await leg.clone().first('state'))?.state === 'answered');
  // As if that event were still on its way when the room moves.
  await leg.clone().update({ state: 'ringing' });
  await four.kill();
  await until('the room has moved', async () => (await roomEvents(room.id, 'participant.moved')).length === 1);
  await leg.clone().update({ state: 'answered' });
  expect((await present(room.id, 1))[0]).toMatchObject({ id: before.id, callId: before.callId });
  call.hangup();
});

test('a node that is answered late and asks once more has the same call and the same guest, not two', async () => {
  const room = await makeRoom();
  await app.addPhone(one, 'pam');
  const leg = randomUUID();
  const form = {
    section: 'dialplan',
    'Unique-ID': leg,
    'Core-UUID': one.coreUuid,
    'Caller-Context': 'users',
    'Caller-Destination-Number': room.name,
    'Call-Direction': 'inbound',
    variable_sip_authorized: 'true',
    variable_user_name: 'pam',
    variable_domain_name: DOMAIN,
    variable_sofia_profile_name: 'internal',
  };
  const asked = [app.askXml(one, form), app.askXml(one, form)];
  const answers = [...(await Promise.all(asked)), await app.askXml(one, form)];
  const plans = answers.map(({ status, text }) => [status, /data="[^"]*@room[^"]*"/.exec(text)?.[0]]);
  expect(plans[0]).toEqual([200, expect.stringContaining('@room')]);
  expect(plans).toEqual([plans[0], plans[0], plans[0]]);
  expect(await people(room.id)).toMatchObject([{ identity: 'user:pam', state: 'joining' }]);
  expect(await roomEvents(room.id, 'participant.joining')).toHaveLength(1);
  expect(await stores.db('calls').where({ to_address: `room:${room.name}` })).toHaveLength(1);
});

test('a node that asks for the profile of a room it does not own is refused', async () => {
  const room = await makeRoom();
  const nia = await app.addPhone(one, 'nia');
  const call = nia.dial(room.name);
  await present(room.id, 1);
  const [session] = await sessions(room.id);
  // Her phone is at one; where the room is, is the pool's choice.
  const [owner, other] = session.node === 'one' ? [one, two] : [two, one];
  const form = {
    section: 'configuration',
    key_name: 'name',
    key_value: 'conference.conf',
    conference_name: session.id,
    profile_name: 'room',
  };
  expect((await app.askXml(owner, form)).text).toContain('<profile name="room">');
  expect((await app.askXml(other, form)).text).toContain('not found');
  call.hangup();
  await until('the session is over', async () => (await sessions(room.id))[0].state === 'ended');
  expect((await app.askXml(owner, form)).text).toContain('not found');
  expect(await findRoom(stores.db, room.id)).toMatchObject({ name: room.name });
  const lease = (await stores.db('leases').where({ room_id: room.id }).first()) as object;
  expect(lease).toMatchObject({ node_id: null, session_id: null });
});
