/** Holds grants to their promises: who gets what, what it opens and what not, and that its end is an end. */
import { createHmac } from 'node:crypto';
import { hashSipPassword } from '../../../src/infra/secrets';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

const stores = useStores();
const TURN_SECRET = 'a secret shared with coturn';
let app: App;
let node: Node;
let roomId: string;
let otherRoomId: string;
let userId: string;

beforeAll(async () => {
  app = await startApp(stores, {
    turnUrls: ['turn:turn.test:3478?transport=udp'],
    turnSecret: TURN_SECRET,
    stunUrls: ['stun:turn.test:3478'],
    publicUrl: 'https://yard.test',
  });
  node = await app.addNode('node-1');
  userId = await app.addUser('alice', { displayName: 'Alice' });
  roomId = (await app.api('POST', '/v1/rooms', { domain: DOMAIN, name: 'daily' })).body.id;
  otherRoomId = (await app.api('POST', '/v1/rooms', { domain: DOMAIN, name: 'weekly' })).body.id;
});
afterAll(() => app?.close());

async function grantRoom(body: object = {}, room = roomId) {
  const answer = await app.api('POST', `/v1/rooms/${room}/grants`, body);
  expect(answer).toMatchObject({ status: 201 });
  return answer.body;
}

const read = (path: string, token?: string, init: RequestInit = {}): Promise<Response> =>
  fetch(app.url + path, {
    ...init,
    headers: { ...init.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) },
  });

const askPassword = async ({ username, ha1 }: { username: string; ha1: string }): Promise<string> =>
  (await app.askXml(node, loginQuestion({ username, ha1 }))).text;

test('it holds what a browser needs: node, login, target, TURN that ends with it', async () => {
  const grant = await grantRoom({ name: 'Ann', role: 'moderator', maxVideoKbps: 800, expiresInSeconds: 600 });
  expect(grant).toMatchObject({
    node: 'node-1',
    target: `sip:room@${DOMAIN}`,
    realm: DOMAIN,
    role: 'moderator',
    maxVideoKbps: 800,
    sipUri: `sip:${grant.username}@${DOMAIN}`,
  });
  expect(grant.wssUrl).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
  expect(grant.username).toMatch(/^g-[a-z2-7]{26}$/);
  expect(grant.eventsUrl).toMatch(/^https:\/\/yard\.test\/v1\/events\?since=\d+$/);
  expect(Date.parse(grant.expiresAt) - Date.now()).toBeGreaterThan(500_000); // ten minutes, less what the answer took
  const [stun, turn] = grant.iceServers;
  expect(stun).toEqual({ urls: ['stun:turn.test:3478'] });
  expect(turn.username).toBe(`${Math.floor(Date.parse(grant.expiresAt) / 1000)}:${grant.id}`);
  expect(turn.credential).toBe(createHmac('sha1', TURN_SECRET).update(turn.username).digest('base64'));
  const xml = await askPassword(grant);
  expect(xml).toContain(`a1-hash" value="${grant.ha1}"`);
  expect(xml).toContain('Ann');
});

test('a user may not look like a grant, nor a guest like a user', async () => {
  const password = 'a long password 1';
  const user = await app.api('POST', '/v1/users', { domain: DOMAIN, username: `g-${'a'.repeat(26)}`, password });
  expect(user.status).toBe(400);
  expect((await app.api('POST', `/v1/rooms/${roomId}/grants`, { identity: 'user:alice' })).status).toBe(400);
  expect((await app.api('POST', `/v1/rooms/${roomId}/grants`, { username: 'nobody' })).status).toBe(422);
  const named = await grantRoom({ username: 'alice' });
  expect((await app.api('GET', `/v1/grants/${named.id}`)).body).toMatchObject({
    identity: 'user:alice',
    userId,
    name: 'Alice',
  });
});

test('its token reads the events of its own room since it was made, and nothing else', async () => {
  const before = await grantRoom();
  const grant = await grantRoom();
  const other = await grantRoom({}, otherRoomId);
  const path = `/v1/events?format=json&since=0&limit=1000`;
  await app.api('DELETE', `/v1/grants/${other.id}`);
  const { items } = (await (await read(path, grant.token)).json()) as {
    items: { type: string; data: { grantId: string } }[];
  };
  expect(items.map(({ type, data }) => [type, data.grantId])).toEqual([['grant.created', grant.id]]);
  expect(JSON.stringify(items)).not.toContain(before.id);
  for (const secret of [grant.ha1, grant.token, TURN_SECRET]) expect(JSON.stringify(items)).not.toContain(secret);
  for (const forbidden of ['/v1/users', '/v1/rooms', `/v1/grants/${grant.id}`, '/v1/nodes']) {
    expect((await read(forbidden, grant.token)).status).toBe(403);
  }
  expect((await read(`${path}&access_token=${grant.token}`)).status).toBe(200);
  expect((await read(`/v1/users?access_token=${grant.token}`)).status).toBe(401);
  expect(app.lines.join('')).not.toContain(grant.token);
});

test('a page of another origin may read with it, also after a preflight', async () => {
  const grant = await grantRoom();
  const origin = { origin: 'https://shop.test' };
  const preflight = await read('/v1/events', undefined, {
    method: 'OPTIONS',
    headers: { ...origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' },
  });
  expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, '*']);
  const self = await read('/v1/grants/self', grant.token, { headers: origin });
  expect([self.status, self.headers.get('access-control-allow-origin')]).toEqual([200, '*']);
  expect(await self.json()).toMatchObject({ id: grant.id, node: 'node-1', wssUrl: grant.wssUrl, target: grant.target });
  const byKey = await app.api('GET', '/v1/grants/self');
  expect(byKey.status).toBe(403);
});

test('revoked, it is dead at once for nodes and pages, in the room list and for its stream', async () => {
  const grant = await grantRoom();
  expect(await askPassword(grant)).toContain('a1-hash');
  const openedAt = Date.now();
  const stream = await read('/v1/events', grant.token);
  expect((await app.api('DELETE', `/v1/grants/${grant.id}`)).status).toBe(204);
  expect(await askPassword(grant)).toContain('not found');
  expect((await read('/v1/grants/self', grant.token)).status).toBe(401);
  await stream.text(); // it ends
  expect(Date.now() - openedAt).toBeLessThan(14_000); // not only when its token is looked at again, after 15 s
  const { items } = (await app.api('GET', `/v1/rooms/${roomId}/grants?limit=200`)).body;
  expect(items.find((one: { id: string }) => one.id === grant.id)).toMatchObject({ state: 'revoked' });
  expect(JSON.stringify(items)).not.toContain(grant.ha1);
  expect((await app.api('DELETE', `/v1/grants/${grant.id}`)).status).toBe(204);
});

test('expired, it lets nobody in, and its registration ends', async () => {
  const grant = (await app.api('POST', `/v1/users/${userId}/grants`, {})).body;
  const password = 'of the test';
  const ha1 = hashSipPassword(grant.username, DOMAIN, password);
  await stores.db('grants').where({ id: grant.id }).update({ ha1 });
  await node.registerPhone({ username: grant.username, domain: DOMAIN, password, behaviour: {} });
  const phones = async () => (await app.api('GET', `/v1/users/${userId}`)).body.registrations.length;
  await until('alice is reached over the grant', async () => (await phones()) === 1);
  await stores
    .db('grants')
    .where({ id: grant.id })
    .update({ expires_at: new Date(Date.now() - 1) });
  await until('her registration has ended', async () => (await phones()) === 0);
  await until('nodes are told there is none', async () => (await askPassword(grant)).includes('not found'));
  expect((await app.api('GET', `/v1/grants/${grant.id}`)).body).toMatchObject({ state: 'expired' });
});
