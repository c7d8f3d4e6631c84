/** A grant ends or is extended during a meeting: who is in may come back, who never was may not, and for how long. */
import { markClosed } from '../../../src/domains/grants/grants.store';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Answer, type Node, type App } from '../harness';

const stores = useStores();
let app: App;
let one: Node;
let two: Node;

beforeAll(async () => {
  app = await startApp(stores);
  one = await app.addNode('one');
  two = await app.addNode('two');
});
afterAll(() => app?.close());

type Body = Answer['body'];
let count = 0;
const makeRoom = async (settings: object = {}): Promise<string> =>
  (await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: `lasting-${(count += 1)}`, ...settings })).id;
const grantFor = (roomId: string, body: object = {}): Promise<Body> =>
  app.must(201, 'POST', `/v1/rooms/${roomId}/grants`, body);
const guestOf = (node: Node, { username, realm, ha1 }: Body) => node.addGuest({ username, realm, ha1 });
async function enter(node: Node, grant: Body) {
  const call = await guestOf(node, grant).dial('room');
  expect(await call.answered).toBe(true);
  return call;
}
const people = async (roomId: string): Promise<Body[]> =>
  (await app.must(200, 'GET', `/v1/rooms/${roomId}/participants`)).items;
const present = (roomId: string, identities: string[]): Promise<Body[]> =>
  until(`${identities.join()} are in`, async () => {
    const inside = (await people(roomId)).filter((p) => p.state === 'in');
    return inside
      .map((p) => p.identity)
      .sort()
      .join() === [...identities].sort().join()
      ? inside
      : undefined;
  });
/** Ended so long ago; what nodes remember of it is over as well. */
async function expire(grant: Body, agoMs = 1): Promise<void> {
  await stores
    .db('grants')
    .where({ id: grant.id })
    .update({ expires_at: new Date(Date.now() - agoMs) });
  await new Promise((resolve) => setTimeout(resolve, 1200));
}
const selfOf = async ({ token }: Body): Promise<number> =>
  (await fetch(`${app.url}/v1/grants/self`, { headers: { authorization: `Bearer ${token}` } })).status;
const patch = (grant: Body, body: object) => app.api('PATCH', `/v1/grants/${grant.id}`, body);

/** A room with somebody in it who stays, so that the meeting goes on. */
async function meeting(settings: object = {}) {
  const roomId = await makeRoom(settings);
  const host = await grantFor(roomId, { identity: 'host', role: 'moderator' });
  const call = await enter(one, host);
  await present(roomId, ['host']);
  return { roomId, host: call };
}

test('who is in when their grant expires may come back: by the old leg or after it, over another node as well', async () => {
  const { roomId, host } = await meeting();
  const grant = await grantFor(roomId, { identity: 'ada' });
  const first = await enter(one, grant);
  const [ada] = (await present(roomId, ['ada', 'host'])).filter((p) => p.identity === 'ada');
  await expire(grant);
  expect(await selfOf(grant)).toBe(200);
  const second = await enter(two, grant); // the old leg still lives: a network that changed
  expect(await first.ended).toBe('PICKED_OFF');
  await present(roomId, ['ada', 'host']);
  second.hangup();
  await present(roomId, ['host']);
  const third = await enter(two, grant);
  const [again] = (await present(roomId, ['ada', 'host'])).filter((p) => p.identity === 'ada');
  expect(again.id).toBe(ada.id);
  for (const call of [third, host]) call.hangup();
});

test('who was never in can not come in by an expired grant, though others of the meeting may', async () => {
  const { roomId, host } = await meeting();
  const grant = await grantFor(roomId, { identity: 'eve' });
  await expire(grant);
  await expect(guestOf(one, grant).dial('room')).rejects.toThrow('403');
  expect(await selfOf(grant)).toBe(401);
  host.hangup();
});

test('coming back has an end: two minutes after they left, twelve hours after it expired, and with the meeting', async () => {
  const { roomId, host } = await meeting();
  const grant = await grantFor(roomId, { identity: 'ada' });
  (await enter(one, grant)).hangup();
  await until('she has left', async () => {
    const rows = await stores.db('participants').where({ grant_id: grant.id, state: 'left' });
    return rows.length === 1;
  });
  await stores
    .db('participants')
    .where({ grant_id: grant.id })
    .update({ left_at: new Date(Date.now() - 121_000) });
  await expire(grant);
  await expect(guestOf(one, grant).dial('room')).rejects.toThrow('403');
  await stores.db('participants').where({ grant_id: grant.id }).update({ left_at: new Date() });
  await expire(grant, 12 * 3_600_000 + 1000);
  await expect(guestOf(one, grant).dial('room')).rejects.toThrow('403');
  await expire(grant);
  host.hangup();
  await until('the meeting is over', async () => {
    const [session] = (await app.must(200, 'GET', `/v1/rooms/${roomId}/sessions`)).items;
    return session.state === 'ended';
  });
  await new Promise((resolve) => setTimeout(resolve, 1200));
  await expect(guestOf(one, grant).dial('room')).rejects.toThrow('403');
});

test('who was put out, or whose grant was revoked, does not come back', async () => {
  const { roomId, host } = await meeting();
  const [removed, revoked] = [await grantFor(roomId, { identity: 'ben' }), await grantFor(roomId, { identity: 'eve' })];
  await enter(one, removed);
  await enter(one, revoked);
  const inside = await present(roomId, ['ben', 'eve', 'host']);
  await expire(removed);
  await expire(revoked);
  const ben = inside.find((p) => p.identity === 'ben')!;
  await app.must(204, 'DELETE', `/v1/rooms/${roomId}/participants/${ben.id}`);
  await app.must(204, 'DELETE', `/v1/grants/${revoked.id}`);
  await present(roomId, ['host']);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  for (const grant of [removed, revoked]) await expect(guestOf(one, grant).dial('room')).rejects.toThrow('403');
  const reasons = (await stores.db('participants').where({ room_id: roomId }).pluck('leave_reason')) as string[];
  expect(new Set(reasons)).toEqual(new Set(['grant_revoked', 'removed', null]));
  expect((await patch(revoked, { expiresInSeconds: 600 })).body).toMatchObject({ status: 410, code: 'gone' });
  host.hangup();
});

test('it is extended, or made to end sooner, also when it has expired; what is no end is refused', async () => {
  const roomId = await makeRoom();
  const grant = await grantFor(roomId, { identity: 'ada', expiresInSeconds: 60 });
  const until1 = new Date(Date.now() + 7_200_000).toISOString();
  expect((await patch(grant, { expiresAt: until1 })).body).toMatchObject({ expiresAt: until1, state: 'valid' });
  await expire(grant);
  await until('it was closed', async () => {
    const row = await stores.db('grants').where({ id: grant.id }).first();
    return row.closed_at !== null;
  });
  await expect(guestOf(one, grant).dial('room')).rejects.toThrow('403');
  expect((await patch(grant, { expiresInSeconds: 600 })).body).toMatchObject({ state: 'valid' });
  (await enter(one, grant)).hangup();
  expect(await selfOf(grant)).toBe(200);
  for (const [body, path] of [
    [{ expiresAt: new Date(Date.now() - 1000).toISOString() }, 'expiresAt'],
    [{ expiresAt: new Date(Date.now() + 90_000_000).toISOString() }, 'expiresAt'],
    [{ expiresInSeconds: 86_401 }, 'expiresInSeconds'],
    [{ expiresInSeconds: 600, expiresAt: until1 }, 'expiresAt'],
    [{}, 'expiresAt'],
  ] as const) {
    const answer = await patch(grant, body);
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(answer.body.errors[0].path).toBe(path);
  }
  const own = await fetch(`${app.url}/v1/grants/${grant.id}`, {
    method: 'PATCH',
    headers: { authorization: `Bearer ${grant.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ expiresInSeconds: 600 }),
  });
  expect(own.status).toBe(403);
  const { items } = await app.must(
    200,
    'GET',
    `/v1/events?format=json&limit=1000&domain=${DOMAIN}&types=grant.updated`,
  );
  expect(items.at(-1).data).toMatchObject({ grantId: grant.id, identity: 'ada' });
});

test('a grant that is extended while the sweep is about to close it stays open', async () => {
  const grant = await grantFor(await makeRoom());
  const found = new Date(Date.now() + 7_200_000); // the sweep has found it over
  expect((await patch(grant, { expiresInSeconds: 10_800 })).status).toBe(200);
  expect(await markClosed(stores.db, grant.id, found)).toBe(false);
  expect(await markClosed(stores.db, grant.id, new Date(found.getTime() + 7_200_000))).toBe(true);
});

test('nobody is given an identity that is kept for who hides their number', async () => {
  const roomId = await makeRoom();
  const answer = await app.api('POST', `/v1/rooms/${roomId}/grants`, { identity: `Anonymous:${roomId}` });
  expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
});

test('an expired grant counts among the living again, and a domain that has used them up can not extend it', async () => {
  const roomId = await makeRoom();
  const grant = await grantFor(roomId);
  await expire(grant);
  const { used } = (await app.must(200, 'GET', `/v1/quotas/${DOMAIN}`)).quotas.liveGrants;
  await app.must(200, 'PUT', `/v1/quotas/${DOMAIN}`, { liveGrants: used });
  expect((await patch(grant, { expiresInSeconds: 600 })).body).toMatchObject({ code: 'quota_exceeded' });
  await app.must(200, 'PUT', `/v1/quotas/${DOMAIN}`, { liveGrants: null });
  expect((await patch(grant, { expiresInSeconds: 600 })).status).toBe(200);
});

test('a new grant for the same identity is the same person, in the place of the old one', async () => {
  const { roomId, host } = await meeting();
  const old = await grantFor(roomId, { identity: 'ada' });
  const first = await enter(one, old);
  const [ada] = (await present(roomId, ['ada', 'host'])).filter((p) => p.identity === 'ada');
  const anew = await grantFor(roomId, { identity: 'ada', role: 'moderator' });
  const second = await enter(two, anew);
  expect(await first.ended).toBe('PICKED_OFF');
  const [now] = (await present(roomId, ['ada', 'host'])).filter((p) => p.identity === 'ada');
  expect(now).toMatchObject({ id: ada.id, grantId: anew.id, role: 'moderator' });
  // The old grant is nobody's: its end ends nothing, and nobody comes back by it.
  await app.must(204, 'DELETE', `/v1/grants/${old.id}`);
  await present(roomId, ['ada', 'host']);
  for (const call of [second, host]) call.hangup();
});

test('a room that was locked since keeps nobody out who is in it, or whose connection was lost', async () => {
  const { roomId, host } = await meeting();
  const grant = await grantFor(roomId, { identity: 'ada' });
  const first = await enter(one, grant);
  await present(roomId, ['ada', 'host']);
  await app.must(200, 'PUT', `/v1/rooms/${roomId}/lock`, { locked: true });
  const stranger = await guestOf(one, await grantFor(roomId, { identity: 'eve' })).dial('room');
  expect(await stranger.answered).toBe(false);
  const second = await enter(two, grant);
  expect(await first.ended).toBe('PICKED_OFF');
  await present(roomId, ['ada', 'host']);
  for (const call of [second, host]) call.hangup();
});
