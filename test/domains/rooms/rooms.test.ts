import { createHash } from 'node:crypto';
import { createEventLog } from '../../../src/domains/events/events';
import { UNLIMITED } from '../../../src/domains/quotas/quotas';
import { createRoomHooks } from '../../../src/domains/rooms/sessions/listeners';
import { layoutsRoutes } from '../../../src/domains/rooms/layouts/layouts.routes';
import { roomsRoutes } from '../../../src/domains/rooms/rooms.routes';
import { clearLease, updateSession, type SessionRow } from '../../../src/domains/rooms/sessions/sessions.store';
import { SwitchyardError } from '../../../src/errors';
import { parseReply, type ApiCommand } from '../../../src/freeswitch/esl';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { startApi, type TestApi } from '../../http/start-api';
import { useStores } from '../../stores';

const stores = useStores();
const lines: string[] = [];
const told: string[][] = [];
const sent: string[] = [];
const closed: string[] = [];
/** What the node says to each command. */
let reply: (line: string) => string;
let api: TestApi;
let domainKey: { authorization: string };
let nodeId: string;

beforeAll(async () => {
  const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
  const { db } = stores;
  const events = createEventLog(db, { ring: () => undefined }, logger);
  const hooks = createRoomHooks(logger);
  hooks.onSettingsChanged((_room, changed) => void told.push(changed));
  const links = {
    api: (id: string, command: ApiCommand) => {
      if (id !== nodeId) return Promise.reject(new SwitchyardError('node_unreachable'));
      sent.push(command.line);
      return Promise.resolve(parseReply(reply(command.line)));
    },
  };
  const closeSession = async (session: SessionRow): Promise<void> => {
    closed.push(session.id);
    const end = { state: 'ended', ended_at: new Date(), end_reason: 'closed' } as const;
    await updateSession(db, session.id, ['opening', 'live'], end);
    await clearLease(db, session.id);
  };
  const deps = { db, events, quotas: UNLIMITED, logger, secretKey: Buffer.alloc(32, 3), hooks, links, closeSession };
  api = await startApi(stores, { extra: [...roomsRoutes(deps), ...layoutsRoutes(deps)] });
  await api.call('POST', '/v1/domains', { name: 'clinic.test' });
  await api.call('POST', '/v1/domains', { name: 'school.test' });
  const key = await api.call('POST', '/v1/api-keys', { name: 'clinic', scope: 'domain', domain: 'clinic.test' });
  domainKey = { authorization: `Bearer ${key.body.key}` };
  nodeId = createId();
  const ports = { esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 };
  const secrets = { secret_hash: createHash('sha256').digest('hex'), esl_password_sealed: 'x' };
  await db('nodes').insert({ id: nodeId, name: 'n1', host: '127.0.0.1', state: 'serving', ...ports, ...secrets });
});
afterAll(() => api.close());
beforeEach(() => {
  reply = () => '+OK';
  for (const list of [told, sent, closed]) list.length = 0;
});

let count = 0;
const make = (more: object = {}, headers = {}) => {
  count += 1;
  return api.call('POST', '/v1/rooms', { domain: 'clinic.test', name: `room${count}`, ...more }, headers);
};
const change = (id: string, patch: object) => api.call('PATCH', `/v1/rooms/${id}`, patch);

async function startSession(roomId: string, state: 'opening' | 'live' = 'live'): Promise<string> {
  const room = await stores.db('rooms').where({ id: roomId }).first();
  const id = createId();
  const owner = { room_id: roomId, node_id: nodeId, epoch: 1 };
  const { domain_id, settings } = room;
  await stores.db('sessions').insert({ ...owner, id, meeting_id: id, domain_id, settings, state, units: 1 });
  await stores.db('leases').insert({ ...owner, session_id: id });
  return id;
}

async function eventsOf(roomId: string): Promise<{ type: string; data: unknown }[]> {
  return stores.db('events').where({ room_id: roomId }).orderBy('number').select('type', 'data');
}

test('a room has every setting from the start, and each change is an event', async () => {
  const made = await make({ displayName: 'Zoë 👩‍⚕️', layout: '2x2', video: { fps: 15 }, metadata: { case: 'a b' } });
  expect(made.status).toBe(201);
  expect(made.body).toMatchObject({
    domain: 'clinic.test',
    layout: '2x2',
    maxParticipants: 100,
    pin: null,
    metadata: { case: 'a b' },
    video: { width: 1280, height: 720, fps: 15, maxKbps: 2000, participantKbps: null, mode: 'mixed' },
    sounds: { entry: 'chime', exit: 'chime' },
    background: { color: '#1b2430' },
  });
  const path = made.headers.get('location')!;
  expect((await api.call('GET', path)).body).toEqual(made.body);
  const changed = await change(made.body.id, { video: { width: 640 }, mutedOnEntry: true });
  expect(changed.body).toMatchObject({ mutedOnEntry: true, video: { width: 640, fps: 15 }, pending: [] });
  expect(told).toEqual([['video.width', 'mutedOnEntry']]);
  expect((await api.call('GET', `/v1/rooms?name=${made.body.name}`)).body.items).toHaveLength(1);
  expect((await api.call('DELETE', path)).status).toBe(204);
  expect((await api.call('GET', path)).body.code).toBe('not_found');
  const types = (await eventsOf(made.body.id)).map(({ type }) => type);
  expect(types).toEqual(['room.created', 'room.updated', 'room.deleted']);
});

test.each([
  { video: { fps: 4 } },
  { video: { fps: 31 } },
  { video: { width: 641 } },
  { video: { width: 1922 } },
  { video: { height: 178 } },
  { video: { maxKbps: 0 } },
  { video: { mode: 'both' } },
  { video: { bitrate: 5 } },
  { maxParticipants: 1 },
  { pin: '123' },
  { pin: '12a4' },
  { pin: '1234', moderatorPin: '1234' },
  { background: { color: 'red' } },
  { background: { color: '${system(x)}' } },
  { sounds: { entry: '/etc/passwd' } },
  { layout: 'group' },
  { layout: '2x2 all' },
  { layout: 'list' },
  { name: '9196' },
  { name: 'a b' },
  { colour: 'red' },
])('the setting %j is refused by name', async (setting) => {
  const { status, body } = await make(setting);
  expect([status, body.code]).toEqual([400, 'invalid_request']);
  expect(body.errors[0].path.split('.')[0]).toBe(setting.moderatorPin ? 'moderatorPin' : Object.keys(setting)[0]);
});

test('a layout that does not exist is refused, and those that do are named', async () => {
  for (const layout of ['9x9', 'group:nope', 'doctor']) {
    const { status, body } = await make({ layout });
    expect([status, body.code]).toEqual([422, 'unprocessable']);
    expect(body.detail).toContain('group:grid, ');
    expect(body.detail).toContain('1up_top_left+5');
  }
  for (const layout of ['group:1up_top_left_plus', '3up+9', '1x1+2x1'])
    expect((await make({ layout })).status).toBe(201);
});

test("a room's name is its domain's own", async () => {
  expect((await make({ name: 'daily' })).status).toBe(201);
  expect((await make({ name: 'daily' })).body.code).toBe('conflict');
  expect((await make({ name: 'daily', domain: 'school.test' })).status).toBe(201);
});

test('a PIN is shown to who holds the key, and is nowhere else', async () => {
  const made = await make({ pin: '80465135', moderatorPin: '90465135' });
  expect(made.body).toMatchObject({ pin: '80465135', moderatorPin: '90465135' });
  const changed = await change(made.body.id, { pin: '70465135' });
  expect(changed.body).toMatchObject({ pin: '70465135', moderatorPin: '90465135' });
  expect((await change(made.body.id, { moderatorPin: '70465135' })).body.code).toBe('invalid_request');
  expect(told).toEqual([['pin']]);
  expect((await change(made.body.id, { pin: null })).body.pin).toBeNull();
  const kept = JSON.stringify([await stores.db('rooms'), await stores.db('events'), lines, api.lines]);
  expect(kept).not.toMatch(/[789]0465135/);
});

test('a domain key sees its own rooms, and of the others not that they exist', async () => {
  const foreign = await make({ domain: 'school.test' });
  const path = `/v1/rooms/${foreign.body.id}`;
  for (const [method, at, body] of [
    ['GET', path],
    ['GET', `${path}/sessions`],
    ['PATCH', path, { locked: true }],
    ['DELETE', path],
  ] as const) {
    expect((await api.call(method, at, body, domainKey)).status).toBe(404);
  }
  expect((await make({ domain: 'school.test' }, domainKey)).status).toBe(404);
  const { body } = await api.call('GET', '/v1/rooms?limit=200', undefined, domainKey);
  expect(new Set(body.items.map((r: { domain: string }) => r.domain))).toEqual(new Set(['clinic.test']));
});

test('a running session takes over what its node can, and the answer says what waits', async () => {
  const { id } = (await make()).body;
  const sessionId = await startSession(id);
  const patch = { layout: '2x2', video: { fps: 10, mode: 'passthrough' }, maxParticipants: 5, record: true };
  expect((await change(id, patch)).body.pending).toEqual(['layout', 'record', 'video.fps', 'video.mode']);
  expect(sent).toEqual([]); // the video is not mixed in the next one: nothing to be sent to this one
  expect((await change(id, { video: { mode: 'mixed' } })).body.pending).toEqual(['record']);
  expect(sent).toEqual([`conference ${sessionId} vid-layout 2x2`, `conference ${sessionId} vid-fps 10`]);
  const session = await stores.db('sessions').where({ id: sessionId }).first();
  expect(session).toMatchObject({ layout: '2x2', settings: { maxParticipants: 5, record: false, video: { fps: 10 } } });
});

test('what a node refuses or does not hear waits for the next session', async () => {
  const { id } = (await make()).body;
  const sessionId = await startSession(id);
  reply = (line) => (line.includes('vid-layout') ? '-ERR Invalid layout [2x2]' : '+OK');
  expect((await change(id, { layout: '2x2', video: { fps: 10 } })).body.pending).toEqual(['layout']);
  await stores.db('sessions').where({ id: sessionId }).update({ node_id: null });
  expect((await change(id, { locked: true })).body.pending).toEqual(['layout', 'locked']);
  const session = await stores.db('sessions').where({ id: sessionId }).first();
  expect(session).toMatchObject({ layout: null, locked: true, settings: { layout: 'group:grid', video: { fps: 10 } } });
});

test('where nobody has entered yet, everything counts at once', async () => {
  const { id } = (await make()).body;
  const sessionId = await startSession(id, 'opening');
  reply = () => '-ERR Conference not found';
  expect((await change(id, { record: true, layout: '1x1', audioOnly: true })).body.pending).toEqual([]);
  const session = await stores.db('sessions').where({ id: sessionId }).first();
  expect(session.settings).toMatchObject({ record: true, layout: '1x1', audioOnly: true });
});

test('a room with people in it is deleted only by force, and its sessions are listed', async () => {
  const { id } = (await make()).body;
  const sessionId = await startSession(id);
  const listed = await api.call('GET', `/v1/rooms/${id}/sessions`);
  expect(listed.body.items).toMatchObject([{ id: sessionId, node: 'n1', state: 'live', epoch: 1, endReason: null }]);
  expect((await api.call('DELETE', `/v1/rooms/${id}`)).body.code).toBe('conflict');
  expect(closed).toEqual([]);
  expect((await api.call('DELETE', `/v1/rooms/${id}?force=true`)).status).toBe(204);
  expect(closed).toEqual([sessionId]);
});

describe('Layouts of a domain', () => {
  const images = [
    { x: 0, y: 0, scale: 240, hscale: 360, zoom: true, floor: true },
    { x: 240, y: 0, scale: 120, reservationId: 'patient' },
  ];
  const makeLayout = (name: string, more: object = {}) =>
    api.call('POST', '/v1/layouts', { domain: 'clinic.test', name, images, ...more });

  test('are used by its rooms, changed, and deleted when no room uses them', async () => {
    const made = await makeLayout('doctor');
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ name: 'doctor', images });
    const room = await make({ layout: 'doctor' });
    expect(room.status).toBe(201);
    expect((await make({ layout: 'doctor', domain: 'school.test' })).status).toBe(422);
    const path = `/v1/layouts/${made.body.id}`;
    const moved = [{ x: 0, y: 0, scale: 360 }];
    expect((await api.call('PATCH', path, { images: moved })).body.images).toEqual(moved);
    const refused = await api.call('DELETE', path);
    expect([refused.status, refused.body.code]).toEqual([409, 'conflict']);
    expect(refused.body.detail).toContain(room.body.name);
    await change(room.body.id, { layout: '1x1' });
    expect((await api.call('DELETE', path)).status).toBe(204);
    expect((await api.call('GET', path)).status).toBe(404);
  });

  test('stand beside the stock ones in the list', async () => {
    await makeLayout('beside');
    const { body } = await api.call('GET', '/v1/layouts?domain=clinic.test');
    expect(body.items.map((l: { name: string }) => l.name)).toContain('beside');
    expect(body.stock).toContainEqual({ name: '3x3', images: 9 });
    expect(body.groups.map((g: { name: string }) => g.name)).toContain('group:grid');
    expect((await makeLayout('beside')).body.code).toBe('conflict');
    expect((await makeLayout('2x2')).body.code).toBe('conflict');
    expect((await makeLayout('beside', { domain: 'school.test' })).status).toBe(201);
    expect((await api.call('GET', '/v1/layouts', undefined, domainKey)).body.items).toHaveLength(1);
  });

  test.each([
    ['list', images],
    ['groupies', images],
    ['a b', images],
    ['out', [{ x: 200, y: 0, scale: 200 }]],
    ['low', [{ x: 0, y: 200, scale: 100, hscale: 200 }]],
    ['none', []],
    ['many', Array(65).fill({ x: 0, y: 0, scale: 10 })],
    ['floors', [images[0], { ...images[0], floorOnly: true }]],
    ['file', [{ x: 0, y: 0, scale: 360, bgimg: '/etc/passwd' }]],
    ['place', [{ x: 0, y: 0, scale: 360, reservationId: 'a b' }]],
  ])('are refused where FreeSWITCH would misread them: %s', async (name, bad) => {
    expect((await makeLayout(name, { images: bad })).body.code).toBe('invalid_request');
  });
});
