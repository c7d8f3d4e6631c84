import { randomBytes } from 'node:crypto';
import { findFreePort } from '../../../scripts/ports';
import type { Route } from '../../../src/infra/route';
import { UNLIMITED } from '../../../src/domains/quotas/quotas';
import { createRelays, type Relays } from '../../../src/domains/relays/create-relays';
import type { presentRelay } from '../../../src/domains/relays/relays';
import { createEventLog } from '../../../src/domains/events/events';
import { readEvents } from '../../../src/domains/events/events.store';
import { createRoomHooks } from '../../../src/domains/rooms/hooks';
import { updateSession, type SessionRow } from '../../../src/domains/rooms/sessions.store';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { useStores } from '../../stores';
import { openRtmpTarget, type RtmpTarget } from './rtmp-target';
import { until } from '../../until';
import { createScriptedNode, type ScriptedNode } from './scripted-node';

type Relay = ReturnType<typeof presentRelay>;
const KEY = 'live_0f3d_a-very-secret-stream-key';

const stores = useStores();
const secretKey = randomBytes(32);
const lines: string[] = [];
const logger = createLogger('trace', { write: (line: string) => void lines.push(line) });
const hooks = createRoomHooks(logger);
let domainId = '';
let nodeId = '';
let node: ScriptedNode;
let target: RtmpTarget;
let relays: Relays;

beforeAll(async () => {
  domainId = createId();
  await stores.db('domains').insert({ id: domainId, name: 'clinic.test' });
  nodeId = await addNode('node-1');
});

beforeEach(async () => {
  node = createScriptedNode();
  // Not just any port: that of one that is away for a while must not be given to somebody else.
  target = await openRtmpTarget(await findFreePort());
  relays = await openRelays();
});

afterEach(async () => {
  await relays.stop();
  node.stop();
  await target.stop();
  await stores.db('relays').delete();
});

async function addNode(name: string): Promise<string> {
  const id = createId();
  const ports = { esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 };
  const row = { id, name, secret_hash: 'x', esl_password_sealed: 'x', host: '127.0.0.1', ...ports, state: 'serving' };
  await stores.db('nodes').insert(row);
  return id;
}

const log = () => createEventLog(stores.db, { ring: () => undefined }, logger);

function openRelays(o: Partial<Parameters<typeof createRelays>[0]> = {}): Promise<Relays> {
  return createRelays({
    db: stores.db,
    log: log(),
    logger,
    quotas: UNLIMITED,
    links: { api: (id, command) => node.api(id, command), isUp: () => true },
    hooks,
    findDomain: async () => ({ id: domainId }),
    secretKey,
    commandTimeoutMs: 20_000,
    relayHost: '127.0.0.1',
    relayPort: 0,
    allowPrivate: true,
    allowedHosts: [],
    stepTimeoutMs: 20_000,
    ...o,
  });
}

async function addRoom(): Promise<string> {
  const id = createId();
  await stores.db('rooms').insert({ id, domain_id: domainId, name: `room-${id.slice(-12)}` });
  return id;
}

async function openSession(
  roomId: string,
  o: { epoch?: number; meetingId?: string; on?: string } = {},
): Promise<string> {
  const id = createId();
  await stores.db('sessions').insert({
    id,
    room_id: roomId,
    domain_id: domainId,
    node_id: o.on ?? nodeId,
    epoch: o.epoch ?? 1,
    meeting_id: o.meetingId ?? id,
    state: 'live',
    units: 1,
    settings: '{}',
    started_at: new Date(),
  });
  const row = (await stores.db('sessions').where({ id }).first()) as SessionRow;
  hooks.sessionLive(row);
  return id;
}

async function endSession(id: string, reason: SessionRow['end_reason']): Promise<void> {
  const row = await updateSession(stores.db, id, ['live'], {
    state: 'ended',
    ended_at: new Date(),
    end_reason: reason,
  });
  hooks.sessionEnded(row!);
}

function find(method: string, path: string): Route {
  return relays.routes.find((route) => route.method === method && route.path === path)!;
}
async function ask<T = Relay>(
  method: string,
  path: string,
  o: { id?: string; body?: unknown; query?: Record<string, string>; seesDomain?: string | null } = {},
): Promise<T> {
  const route = find(method, path);
  const context = {
    params: { id: o.id },
    query: route.query?.parse(o.query ?? {}),
    body: route.body?.parse(o.body ?? {}),
    caller: { apiKeyId: 'k', scopes: ['domain'], domainId: o.seesDomain === undefined ? domainId : o.seesDomain },
  };
  return (await route.handle(context as never))!.body as T;
}
const create = (roomId: string, body: Record<string, unknown> = {}): Promise<Relay> =>
  ask('post', '/v1/rooms/{id}/relays', {
    id: roomId,
    body: { url: `rtmp://127.0.0.1:${target.port}/live`, streamKey: KEY, ...body },
  });
const read = (id: string): Promise<Relay> => ask('get', '/v1/relays/{id}', { id });
function relayIs(id: string, state: Relay['state']): Promise<Relay> {
  let last: Relay | undefined;
  return until(
    () => `the relay is ${state}: ${JSON.stringify(last)}`,
    async () => ((last = await read(id)).state === state ? last : undefined),
    120_000, // it waits longer after each failure
  );
}
const events = async (id: string) =>
  (await readEvents(stores.db, domainId, 0, 10_000)).filter((event) => event.data.relayId === id);
const types = async (id: string): Promise<string[]> => (await events(id)).map((event) => event.type);

test('a relay of a live room is live when the target has what the node sends', async () => {
  const room = await addRoom();
  const session = await openSession(room);
  const made = await create(room, { name: 'the stage' });
  expect(made).toMatchObject({ state: 'waiting', desired: 'live', restarts: 0, maxRestarts: 20, name: 'the stage' });
  const live = await relayIs(made.id, 'live');
  expect(live).toMatchObject({ sessionId: session, node: 'node-1', gaps: [], lastFault: null });
  expect(target.published).toEqual([`live/${KEY}`]);
  await until('bytes are counted', async () => (await read(made.id)).bytesSent > 100_000);
  await until('the target has them', () => target.mediaBytes > 100_000);
  expect(await types(made.id)).toEqual(['relay.created', 'relay.checking', 'relay.starting', 'relay.live']);

  await ask('post', '/v1/relays/{id}/stop', { id: made.id });
  await relayIs(made.id, 'stopped');
  expect(node.streams.size).toBe(0);
  expect(node.lines.map((line) => line.split(' ')[3])).toEqual(['start', 'stop']);
  expect((await types(made.id)).slice(-2)).toEqual(['relay.stopping', 'relay.stopped']);
  const again = await ask('delete', '/v1/relays/{id}', { id: made.id });
  expect(again.state).toBe('stopped');
});

test('the stream key is in no answer, event, log line, command, fault or column', async () => {
  const room = await addRoom();
  await openSession(room);
  const made = await create(room, { maxRestarts: 0 });
  await relayIs(made.id, 'live');
  target.refuses = true;
  target.hangUp();
  await relayIs(made.id, 'failed');
  const apart = await create(room, {
    streamKey: undefined,
    url: `rtmp://127.0.0.1:${target.port}/live/${KEY}`,
    maxRestarts: 0,
  });
  const failed = await relayIs(apart.id, 'failed');
  expect(failed.lastFault).toMatch(/refused the stream/); // the target's own words held the key
  const rows: unknown = await stores.db('relays').select();
  const seen = [await read(made.id), failed, await events(made.id), await events(apart.id), lines, node.lines, rows];
  expect(JSON.stringify(seen)).not.toContain(KEY);
  expect(JSON.stringify(seen)).not.toContain('very-secret');
});

test('a target that dies is tried again until it is back, and the gap is told', async () => {
  const room = await addRoom();
  await openSession(room);
  const { id } = await create(room);
  await relayIs(id, 'live');
  await until('it flows', async () => (await read(id)).bytesSent > 0);
  const { port } = target;
  await target.stop();
  const down = await until('it is seen to be down', async () => {
    const relay = await read(id);
    return relay.restarts > 0 ? relay : undefined;
  });
  expect(down.lastFault).toMatch(/target/);
  expect(down.gaps).toHaveLength(1);
  expect(down.gaps[0]!.to).toBeNull();
  await until('it was tried in vain', async () => (await read(id)).restarts >= 2);
  target = await openRtmpTarget(port);
  const back = await relayIs(id, 'live');
  expect(back.gaps).toHaveLength(1);
  expect(Date.parse(back.gaps[0]!.to!)).toBeGreaterThan(Date.parse(back.gaps[0]!.from));
  expect(back.gapSeconds).toBeGreaterThan(1);
  expect(back.restarts).toBeGreaterThanOrEqual(2);
  const live = (await events(id)).filter((event) => event.type === 'relay.live').at(-1)!;
  expect(live.data.gap).toEqual(back.gaps[0]);
});

test('a target that accepts and stops reading is found out, and the node is not held up', async () => {
  const room = await addRoom();
  await openSession(room);
  const { id } = await create(room);
  await relayIs(id, 'live');
  const frozenAt = Date.now();
  target.freeze();
  const [stream] = [...node.streams.values()];
  let mostWaiting = 0;
  const timer = setInterval(() => (mostWaiting = Math.max(mostWaiting, stream!.waitingBytes)), 100);
  const stalled = await until(
    'it is found out',
    async () => (await events(id)).find((event) => event.type === 'relay.restarting'),
    120_000,
  );
  clearInterval(timer);
  expect(stalled.data.reason).toBe('the target has stopped reading');
  // Six seconds on a quiet machine (five without progress, and a look each second); a kernel would tell after minutes.
  expect(Date.parse(stalled.at) - frozenAt).toBeLessThan(90_000);
  expect(mostWaiting).toBeLessThan(300_000); // what the node sends is taken from it all the time
  await until('it is live again', async () => (await types(id)).filter((type) => type === 'relay.live').length > 1);
});

test('a relay that can not be brought about fails after as many restarts as it may have', async () => {
  const room = await addRoom();
  await openSession(room);
  target.refuses = true;
  const { id } = await create(room, { maxRestarts: 1 });
  const failed = await relayIs(id, 'failed');
  expect(failed).toMatchObject({ restarts: 1, desired: 'stopped', liveSince: null });
  expect(failed.endedAt).not.toBeNull();
  expect((await events(id)).at(-1)).toMatchObject({ type: 'relay.failed', data: { maxRestarts: 1 } });
  expect(node.lines).toEqual([]); // the node was never bothered
});

test('a room that is not live is waited for, its end is no gap, and its next meeting is sent again', async () => {
  const room = await addRoom();
  const { id } = await create(room);
  await relays.sweep();
  expect((await read(id)).state).toBe('waiting');
  expect(node.lines).toEqual([]);
  const first = await openSession(room);
  await relayIs(id, 'live');
  node.endStreams();
  await endSession(first, 'empty');
  expect(await relayIs(id, 'waiting')).toMatchObject({ gaps: [], restarts: 0 });
  const second = await openSession(room, { epoch: 2 });
  expect(await relayIs(id, 'live')).toMatchObject({ sessionId: second, gaps: [], restarts: 0 });
});

test('a room that moves takes its relay with it, and the gap is told', async () => {
  const room = await addRoom();
  const first = await openSession(room);
  const { id } = await create(room);
  await relayIs(id, 'live');
  await until('it flows', async () => (await read(id)).bytesSent > 0);
  await endSession(first, 'moved');
  await relayIs(id, 'waiting');
  const other = await addNode('node-2');
  const second = await openSession(room, { epoch: 2, meetingId: first, on: other });
  const moved = await relayIs(id, 'live');
  expect(moved).toMatchObject({ sessionId: second, node: 'node-2', restarts: 0 });
  expect(moved.gaps).toEqual([
    expect.objectContaining({ reason: 'the session ended (moved)', to: expect.any(String) }),
  ]);
});

test('a node that answers +OK and sends nothing does not make a relay live', async () => {
  const room = await addRoom();
  await openSession(room);
  node.sends = false;
  const { id } = await create(room);
  await relayIs(id, 'starting');
  await ask('post', '/v1/relays/{id}/stop', { id });
  await relayIs(id, 'stopped');
  expect(await types(id)).not.toContain('relay.live');
});

test('several relays of one room go on beside each other, and one that fails takes no other with it', async () => {
  const room = await addRoom();
  await openSession(room);
  const second = await openRtmpTarget();
  const one = await create(room);
  const two = await create(room, { url: `rtmp://127.0.0.1:${second.port}/other`, streamKey: 'another' });
  await Promise.all([relayIs(one.id, 'live'), relayIs(two.id, 'live')]);
  await second.stop();
  await until('it is tried again', async () => (await types(two.id)).includes('relay.restarting'));
  const before = target.mediaBytes;
  await until('the first goes on', () => target.mediaBytes > before + 50_000);
  expect(await read(one.id)).toMatchObject({ state: 'live', restarts: 0 });
});

test('a relay whose replica dies is taken over by another, and by one only', async () => {
  const room = await addRoom();
  await openSession(room);
  const { id } = await create(room);
  await relayIs(id, 'live');
  const other = await openRelays();
  try {
    await other.sweep();
    expect(target.published).toHaveLength(1);
    await relays.stop();
    await until('it is published again', () => target.published.length === 2);
    const back = await relayIs(id, 'live');
    expect(back).toMatchObject({ restarts: 0 });
    expect(back.gaps).toHaveLength(1);
  } finally {
    await other.stop();
    relays = await openRelays();
  }
});

test('targets that can not be used are refused with the reason', async () => {
  const room = await addRoom();
  const silent = await openRtmpTarget(0, { silent: true });
  const port = await findFreePort(); // nobody listens there
  const refused = async (body: Record<string, unknown>, message: RegExp): Promise<void> => {
    await expect(create(room, body)).rejects.toThrow(
      expect.objectContaining({ code: 'unprocessable', message: expect.stringMatching(message) }),
    );
  };
  await refused({ url: 'http://127.0.0.1/live' }, /rtmp:\/\//);
  await refused({ url: `rtmp://127.0.0.1:${port}/live` }, /refused/);
  await relays.stop();
  // For the connection as well, which is quick on any machine that is not stopped for so long.
  relays = await openRelays({ stepTimeoutMs: 4000 });
  await refused({ url: `rtmp://127.0.0.1:${silent.port}/live` }, /did not answer the RTMP handshake in time/);
  await refused({ url: `rtmps://127.0.0.1:${target.port}/live` }, /TLS|closed|reset|failed|in time/);
  await silent.stop();
  await relays.stop();
  relays = await openRelays({ allowPrivate: false, resolve: async () => ['10.0.0.1'] });
  await refused({}, /forbidden/);
  await refused({ url: 'rtmp://intranet.example.com/live' }, /forbidden/);
  await relays.stop();
  relays = await openRelays({ resolve: () => Promise.reject(new Error('no')) });
  await refused({ url: 'rtmp://nobody.example.com/live' }, /can not be resolved/);
  expect((await ask<{ items: Relay[] }>('get', '/v1/relays')).items).toEqual([]);
});

test('relays are listed by room, state and page, and another domain sees none of them', async () => {
  const [room, other] = [await addRoom(), await addRoom()];
  const made = [await create(room), await create(room), await create(other)];
  const list = (query: Record<string, string>, seesDomain?: string) =>
    ask<{ items: Relay[]; nextCursor: string | null }>('get', '/v1/relays', { query, seesDomain });
  expect((await list({ roomId: room })).items.map((r) => r.id)).toEqual([made[1]!.id, made[0]!.id]);
  expect((await list({ state: 'live' })).items).toEqual([]);
  const page = await list({ limit: '2' });
  expect((await list({ limit: '2', cursor: page.nextCursor! })).items.map((r) => r.id)).toEqual([made[0]!.id]);
  const stranger = createId();
  expect((await list({}, stranger)).items).toEqual([]);
  const o = { id: made[0]!.id, seesDomain: stranger };
  for (const [method, path] of [
    ['get', ''],
    ['delete', ''],
    ['post', '/stop'],
  ] as const) {
    await expect(ask(method, `/v1/relays/{id}${path}`, o)).rejects.toThrow(
      expect.objectContaining({ code: 'not_found' }),
    );
  }
  await expect(
    ask('post', '/v1/rooms/{id}/relays', {
      id: room,
      seesDomain: stranger,
      body: { url: 'rtmp://a.example.com/l', streamKey: 'k' },
    }),
  ).rejects.toThrow(expect.objectContaining({ code: 'not_found' }));
});
