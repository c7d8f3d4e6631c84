/** Holds every resource to its quota, over REST and on SIP, with two replicas; and grants to holding little, for seconds. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { createClaims } from '../../../src/domains/nodes/capacity/claims';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { createRedis, type Redis } from '../../../src/infra/stores/redis';
import { useStores } from '../../stores';
import { DOMAIN, startApp, passwordOf, PHONE_SECONDS, until, type Answer, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

/** By then the other replica asks anew for the limits. */
const KEPT_MS = 2100;

const stores = useStores();
let app: App;
let node: Node;
let other: string;
let clinicKey: string;
let schoolKey: string;
let names = 0;
let redis: Redis;

const room = async (body: object = {}): Promise<string> =>
  (await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: `room-${(names += 1)}`, ...body })).id;

const as = async (key: string, method: string, path: string, body?: unknown): Promise<Answer> => {
  const headers = { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) };
  const answer = await fetch(app.url + path, { method, headers, body: body ? JSON.stringify(body) : undefined });
  return { status: answer.status, body: await answer.json() };
};

const setQuotas = (limits: Record<string, number | null>) => app.must(200, 'PUT', `/v1/quotas/${DOMAIN}`, limits);
const readQuotas = async () => (await app.must(200, 'GET', `/v1/quotas/${DOMAIN}`)).quotas;
const exceeded = (quota: string, limit: number) => ({ status: 429, code: 'quota_exceeded', quota, limit });

beforeAll(async () => {
  redis = createRedis(stores.redisUrl, createLogger('silent'));
  await redis.connect();
  app = await startApp(stores, { quotas: { recordings: 7 } });
  other = (await app.addReplica()).url;
  node = await app.addNode('node-1', { capacity: 400 });
  await app.must(201, 'POST', '/v1/domains', { name: 'school.test' });
  const key = async (domain: string): Promise<string> =>
    (await app.must(201, 'POST', '/v1/api-keys', { name: domain, scope: 'domain', domain })).key;
  [clinicKey, schoolKey] = [await key(DOMAIN), await key('school.test')];
});
afterEach(() => setQuotas({}));
afterAll(async () => {
  redis?.disconnect();
  await app?.close();
});

describe('Grants', () => {
  test('a hundred for a hundred rooms of 1080p hold a unit each, no more than the quota, and nothing after 20 seconds', async () => {
    const ids = await Promise.all(
      Array.from({ length: 100 }, () => room({ video: { width: 1920, height: 1080, fps: 30 } })),
    );
    const held = async (): Promise<number> => (await app.must(200, 'GET', `/v1/nodes/${node.id}`)).claimedUnits;
    const { units } = await readQuotas();
    await setQuotas({ units: units.used + 60 });
    const before = await held();
    const began = Date.now();
    const made = await Promise.all(
      ids.map((id, i) => app.api('POST', `/v1/rooms/${id}/grants`, {}, i % 2 ? other : app.url)),
    );
    const lastAt = Date.now();
    expect(made.filter(({ status }) => status === 201)).toHaveLength(60);
    expect(made.find(({ status }) => status === 429)!.body).toMatchObject(exceeded('units', units.used + 60));
    expect((await held()) - before).toBeLessThanOrEqual(60);
    expect((await held()) - before).toBeGreaterThan(0);
    await until('nothing is held any more', async () => (await held()) <= before);
    // As much longer as the machine is slower than one on which the hundred take a moment.
    expect(Date.now() - lastAt).toBeLessThan(20_000 + 3 * (lastAt - began));
    expect((await readQuotas()).openingRooms.used).toBe(0);
  });
});

test('who enters a room whose node has filled up meanwhile gets it on another node, and its page is told', async () => {
  const claims = createClaims(redis, stores.redisPrefix);
  const id = await room({ video: { width: 1920, height: 1080, fps: 30 } });
  const grant = await app.must(201, 'POST', `/v1/rooms/${id}/grants`, { name: 'Eve' });
  expect(grant.node).toBe('node-1');
  const second = await app.addNode('node-2', { capacity: 100 });
  const filler = createId();
  const used = (await claims.readTotals([node.id], Date.now()))[0]!;
  await claims.claim(node.id, filler, 390 - used, null, Date.now());
  const guest = node.addGuest({ username: grant.username, realm: DOMAIN, ha1: grant.ha1 });
  const call = await guest.dial('room');
  const sessions = async () => (await app.must(200, 'GET', `/v1/rooms/${id}/sessions`)).items;
  await until('the room is live', async () => (await sessions())[0].state === 'live');
  const [now, before] = await sessions();
  expect([now.node, before.endReason]).toEqual(['node-2', 'moved']);
  const query = `domain=${DOMAIN}&format=json&roomId=${id}&types=session.moved&limit=1000`;
  const [moved] = (await app.must(200, 'GET', `/v1/events?${query}`)).items;
  expect(moved.data).toMatchObject({ node: 'node-2', from: before.id, nodeId: second.id });
  // One with video of this size: what it takes is claimed there now, and nothing of it at the node that was full.
  await until('it is claimed where it is', async () => (await claims.readTotals([second.id], Date.now()))[0]! > 40);
  expect((await claims.listClaims(node.id)).includes(before.id)).toBe(false);
  call.hangup();
  await claims.release(node.id, filler, Date.now());
});

describe('GET and PUT /v1/quotas/{domain}', () => {
  test('say of each quota its limit, what is used of it and its default; a setting makes the default', async () => {
    const quotas = await readQuotas();
    expect(quotas.recordings).toEqual({ limit: 7, used: 0, default: 7 });
    expect(quotas.users).toMatchObject({ limit: 100_000, default: 100_000 });
    const set = await setQuotas({ users: 5, relays: 0 });
    expect(set.quotas.users).toMatchObject({ limit: 5, default: 100_000 });
    expect(set.quotas.relays).toEqual({ limit: 0, used: 0, default: 20 });
    // The whole set: what is left out is as by default.
    const again = await setQuotas({ relays: null, rooms: 3 });
    expect([again.quotas.users.limit, again.quotas.relays.limit, again.quotas.rooms.limit]).toEqual([100_000, 20, 3]);
    const { body } = await app.api('GET', `/v1/events?domain=${DOMAIN}&format=json&types=quotas.changed&limit=1000`);
    expect(body.items.at(-1).data).toEqual({ domain: DOMAIN, limits: { rooms: 3 } });
  });

  test('are for an admin key; a domain key reads its own, and writes none', async () => {
    expect((await as(clinicKey, 'GET', `/v1/quotas/${DOMAIN}`)).status).toBe(200);
    const { id } = await app.must(200, 'GET', `/v1/domains/${DOMAIN}`);
    expect((await as(clinicKey, 'GET', `/v1/quotas/${id}`)).body.domain).toBe(DOMAIN);
    expect((await as(clinicKey, 'PUT', `/v1/quotas/${DOMAIN}`, { users: 1 })).body).toMatchObject({
      code: 'forbidden',
    });
    expect((await as(schoolKey, 'GET', `/v1/quotas/${DOMAIN}`)).body).toMatchObject({ code: 'not_found' });
    expect((await as(schoolKey, 'PUT', `/v1/quotas/${DOMAIN}`, {})).body).toMatchObject({ code: 'forbidden' });
    expect((await app.api('GET', '/v1/quotas/nobody.test')).body).toMatchObject({ code: 'not_found' });
    const grant = await app.must(201, 'POST', `/v1/rooms/${await room()}/grants`, {});
    expect((await as(grant.token, 'GET', `/v1/quotas/${DOMAIN}`)).body).toMatchObject({ code: 'forbidden' });
    expect((await readQuotas()).users.limit).toBe(100_000);
  });

  test('take whole numbers of quotas that there are', async () => {
    for (const body of [{ users: -1 }, { users: 1.5 }, { users: 1e16 }, { user: 1 }, { users: '5' }]) {
      expect((await app.api('PUT', `/v1/quotas/${DOMAIN}`, body)).body).toMatchObject({ code: 'invalid_request' });
    }
  });
});

describe('A resource beyond its quota is refused by its name', () => {
  test('users, rooms, layouts', async () => {
    const { users, rooms, layouts } = await readQuotas();
    await setQuotas({ users: users.used, rooms: rooms.used, layouts: layouts.used });
    const user = { domain: DOMAIN, username: 'surplus', password: 'long-and-unguessed' };
    expect((await app.api('POST', '/v1/users', user)).body).toMatchObject({
      ...exceeded('users', users.used),
      used: users.used,
      detail: `The domain's quota "users" is ${users.used}. What counts: users.`,
      fix: expect.stringContaining('PUT /v1/quotas'),
    });
    const newRoom = { domain: DOMAIN, name: 'surplus' };
    expect((await app.api('POST', '/v1/rooms', newRoom)).body).toMatchObject(exceeded('rooms', rooms.used));
    const layout = { domain: DOMAIN, name: 'surplus', images: [{ x: 0, y: 0, scale: 360 }] };
    expect((await app.api('POST', '/v1/layouts', layout)).body).toMatchObject(exceeded('layouts', layouts.used));
    // Another domain has its own.
    expect((await app.api('POST', '/v1/rooms', { domain: 'school.test', name: 'surplus' })).status).toBe(201);
  });

  test('grants: those that live, and those made in a minute', async () => {
    const id = await room();
    const { liveGrants } = await readQuotas();
    await setQuotas({ liveGrants: liveGrants.used + 1 });
    const grant = await app.must(201, 'POST', `/v1/rooms/${id}/grants`, {});
    expect((await app.api('POST', `/v1/rooms/${id}/grants`, {})).body).toMatchObject(
      exceeded('liveGrants', liveGrants.used + 1),
    );
    expect((await app.apiOnce('DELETE', `/v1/grants/${grant.id}`)).status).toBe(204);
    await app.must(201, 'POST', `/v1/rooms/${id}/grants`, {});
    await setQuotas({ grantsPerMinute: 1 });
    const made = await Promise.all([app.url, other].map((url) => app.api('POST', `/v1/rooms/${id}/grants`, {}, url)));
    const refused = made.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(1);
    expect(refused[0]!.body).toMatchObject(exceeded('grantsPerMinute', 1));
  });

  test('rooms that are open for nobody yet, and rooms opened in a minute', async () => {
    await sleep(KEPT_MS);
    const [first, second] = [await room(), await room()];
    const { openingRooms } = await readQuotas();
    await setQuotas({ openingRooms: openingRooms.used + 1 });
    const asked = await Promise.all([
      app.api('POST', `/v1/rooms/${first}/grants`, {}),
      app.api('POST', `/v1/rooms/${second}/grants`, {}, other),
    ]);
    expect(asked.map(({ status }) => status).sort()).toEqual([201, 429]);
    expect(asked.find(({ status }) => status === 429)!.body).toMatchObject(
      exceeded('openingRooms', openingRooms.used + 1),
    );
    await setQuotas({ roomsOpenedPerMinute: 0 });
    const { body } = await app.api('POST', `/v1/rooms/${await room()}/grants`, {});
    expect(body).toMatchObject(exceeded('roomsOpenedPerMinute', 0));
  });

  test('relays', async () => {
    await setQuotas({ relays: 0 });
    const relay = { url: 'rtmp://192.0.2.1/live', streamKey: 'k' };
    const { body } = await app.api('POST', `/v1/rooms/${await room()}/relays`, relay);
    expect(body).toMatchObject(exceeded('relays', 0));
  });

  test('calls: those begun in a second, and those that wait', async () => {
    await app.addPhone(node, 'ann', { answerAfterMs: 10 });
    const call = { domain: DOMAIN, from: 'user:ann', to: '9196' };
    await setQuotas({ callsPerSecond: 0 });
    expect((await app.api('POST', '/v1/calls', call)).body).toMatchObject(exceeded('callsPerSecond', 0));
    await setQuotas({ ringingCalls: 0, queuedCalls: 3 });
    await sleep(KEPT_MS);
    const asked = await Promise.all(
      Array.from({ length: 12 }, (_, i) => app.api('POST', '/v1/calls', call, i % 2 ? other : app.url)),
    );
    expect(asked.filter(({ status }) => status === 201)).toHaveLength(3);
    expect(asked.find(({ status }) => status === 429)!.body).toMatchObject(exceeded('queuedCalls', 3));
    expect((await readQuotas()).queuedCalls).toMatchObject({ limit: 3, used: 3 });
    // None of them is dialled while the domain may ring nobody, and all are as soon as it may.
    const ids = asked.flatMap(({ status, body }) => (status === 201 ? [body.id as string] : []));
    for (const id of ids) expect((await app.readCall(id)).state).toBe('queued');
    await setQuotas({});
    for (const id of ids) {
      await app.callIs(id, 'answered');
      await app.hangUp(id);
    }
  });

  test('a recording, by count and by bytes; a room that should be recorded says that it is not', async () => {
    await app.addPhone(node, 'rec', { answerAfterMs: 10 });
    const { id } = await app.call('user:rec', '9196');
    await app.callIs(id, 'answered');
    const record = () => app.api('POST', `/v1/calls/${id}/record`, { action: 'start' });
    await setQuotas({ recordings: 0 });
    expect((await record()).body).toMatchObject(exceeded('recordings', 0));
    await setQuotas({ recordedBytes: 0 });
    expect((await record()).body).toMatchObject(exceeded('recordedBytes', 0));
    const roomId = await room({ record: true });
    const { name } = await app.must(200, 'GET', `/v1/rooms/${roomId}`);
    await app.addPhone(node, 'guest-of-it', { answerAfterMs: 10 });
    await app.call('user:guest-of-it', `room:${name}`);
    const recordings = await until('the room is known to have no recording', async () => {
      const { items } = await app.must(200, 'GET', `/v1/recordings?roomId=${roomId}`);
      return items.length > 0 ? items : undefined;
    });
    expect(recordings[0]).toMatchObject({ state: 'failed', reason: 'quota_exceeded' });
    // One that runs is stopped when the bytes are used up.
    await setQuotas({});
    const running = (await record()).body;
    await setQuotas({ recordedBytes: 0 });
    await until('it is stopped', async () => {
      const { state, reason } = await app.must(200, 'GET', `/v1/recordings/${running.id}`);
      return !['starting', 'recording'].includes(state) && reason === 'quota_exceeded';
    });
    await app.hangUp(id);
  });

  test('event streams of a grant and of the domain, by HTTP and by WebSocket, over both replicas', async () => {
    const roomId = await room();
    const grant = await app.must(201, 'POST', `/v1/rooms/${roomId}/grants`, {});
    await setQuotas({ eventStreamsPerGrant: 2, eventStreams: 3 });
    await until('both replicas know it', async () => {
      const { body } = await app.api('GET', `/v1/quotas/${DOMAIN}`, undefined, other);
      return body.quotas.eventStreams.limit === 3;
    });
    const ends: (() => void)[] = [];
    const sse = async (token: string, url: string) => {
      const abort = new AbortController();
      ends.push(() => abort.abort());
      return fetch(`${url}/v1/events`, { headers: { authorization: `Bearer ${token}` }, signal: abort.signal });
    };
    const socket = (token: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const ws = new WebSocket(`${other.replace('http', 'ws')}/v1/events?access_token=${token}`);
        ends.push(() => ws.terminate());
        ws.on('open', () => resolve(101));
        ws.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
        ws.on('error', reject);
      });
    try {
      await sleep(KEPT_MS);
      expect((await sse(grant.token, app.url)).status).toBe(200);
      expect(await socket(grant.token)).toBe(101);
      expect(await socket(grant.token)).toBe(429);
      const refused = await sse(grant.token, app.url);
      expect(await refused.json()).toMatchObject(exceeded('eventStreamsPerGrant', 2));
      const third = await sse(clinicKey, other);
      expect(third.status).toBe(200);
      const full = await sse(clinicKey, app.url);
      expect(await full.json()).toMatchObject({ ...exceeded('eventStreams', 3), used: 3 });
      expect((await readQuotas()).eventStreams.used).toBe(3);
      expect((await readQuotas()).eventStreamsPerGrant.used).toBe(2);
    } finally {
      for (const end of ends) end();
    }
    await until('their places are free', async () => (await readQuotas()).eventStreams.used === 0);
  });
});

describe('On SIP', () => {
  /** What a node is answered for an INVITE of this login. */
  const dial = async (username: string, number: string, ha1?: string): Promise<string> => {
    await app.askXml(node, loginQuestion({ username, ha1 }));
    const answer = await app.askXml(node, {
      section: 'dialplan',
      'Unique-ID': randomUUID(),
      'Core-UUID': node.coreUuid,
      'Caller-Context': 'users',
      'Caller-Destination-Number': number,
      'Call-Direction': 'inbound',
      variable_sip_authorized: 'true',
      variable_user_name: username,
      variable_domain_name: DOMAIN,
      variable_sofia_profile_name: 'internal',
    });
    return answer.text;
  };

  test("a phone's own call beyond a quota gets a plan that refuses with 503, no row, and an event", async () => {
    await app.addPhone(node, 'bob');
    const calls = async () => (await app.must(200, 'GET', `/v1/calls?domain=${DOMAIN}&limit=100`)).items.length;
    for (const quota of ['callsPerSecond', 'ringingCalls', 'units']) {
      const before = await calls();
      await setQuotas({ [quota]: 0 });
      const plan = await dial('bob', '9196');
      expect(plan).toContain('NORMAL_TEMPORARY_FAILURE');
      expect(plan).toContain(`The domain has used up its quota ${quota}`);
      expect(await calls()).toBe(before);
    }
    await setQuotas({});
    expect(await dial('bob', '9196')).toContain('application="echo"');
    await until('the refusals were told', async () => {
      const { items } = await app.must(200, 'GET', `/v1/events?domain=${DOMAIN}&format=json&types=quota.*&limit=1000`);
      const told = items.map(({ data }: { data: { quota: string } }) => data.quota);
      return told.includes('ringingCalls') && told.includes('units');
    });
    const metrics = await (await fetch(`${app.operationsUrl}/metrics`)).text();
    expect(metrics).toMatch(/switchyard_quota_refusals_total\{quota="ringingCalls"\} [1-9]/);
  });

  test('nobody gets into a room that would take more than the domain may', async () => {
    const id = await room();
    const grant = await app.must(201, 'POST', `/v1/rooms/${id}/grants`, { name: 'Ann' });
    const { units } = await readQuotas();
    await setQuotas({ units: units.used + 5 });
    const plan = await dial(grant.username, 'room', grant.ha1);
    expect(plan).toContain('NORMAL_TEMPORARY_FAILURE');
    const { items } = await app.must(
      200,
      'GET',
      `/v1/events?domain=${DOMAIN}&format=json&types=participant.refused&limit=1000`,
    );
    expect(items.at(-1).data).toMatchObject({ grantId: grant.id, reason: 'over_quota' });
    await setQuotas({});
    expect(await dial(grant.username, 'room', grant.ha1)).not.toContain('NORMAL_TEMPORARY_FAILURE');
  });

  test('a further phone of a user takes the place of the one not seen for longest', async () => {
    await setQuotas({ registrationsPerUser: 2 });
    await sleep(KEPT_MS);
    const ended = async () => {
      const query = `domain=${DOMAIN}&format=json&types=registration.ended&limit=1000`;
      const { items } = await app.must(200, 'GET', `/v1/events?${query}`);
      return items.filter(({ data }: { data: { reason: string } }) => data.reason === 'too_many');
    };
    const read = async () =>
      (await app.must(200, 'GET', `/v1/users?username=carl&domain=${DOMAIN}`)).items[0].registrations;
    await app.addUser('carl');
    for (let i = 0; i < 3; i += 1) {
      const login = { username: 'carl', domain: DOMAIN, password: passwordOf('carl'), expiresSeconds: PHONE_SECONDS };
      await until('carl registers', () => node.registerPhone(login).catch(() => undefined));
    }
    await until('the third is known', async () => (await ended()).length > 0);
    expect(await read()).toHaveLength(2);
    expect((await readQuotas()).registrationsPerUser).toMatchObject({ limit: 2, used: 2 });
    await until(
      'its node has let it go',
      () => node.phones().filter(({ username }) => username === 'carl').length === 2,
    );
  });
});
