/** What the user of the API sees of recordings, with a scripted node: desired changes, parts, uploads, faults and the ledger. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { Registry } from 'prom-client';
import { registerRecordingFigures } from '../../../src/domains/recordings/figures';
import { join } from 'node:path';
import { markDeadParts } from '../../../src/domains/recordings/control/node-events';
import { expireRecordings } from '../../../src/domains/recordings/retention';
import { watchGrowth } from '../../../src/domains/recordings/control/growth-monitor';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import type { RecordingView } from '../../../src/domains/recordings/view';
import { signToken } from '../../../src/infra/secrets';
import { useStores } from '../../stores';
import { until } from '../../until';
import { createFakeNode, fileOf, wavOf, type FakeNode } from './fake-node';
import { KEY, startApi, type RecordingApi } from './start-api';

let api: RecordingApi;
let fake: FakeNode;
let node: NodeRow;
let folder: string;
const NODE_SECRET = 'a-secret-of-the-node-0001';
/** Added to the clock. */
let laterMs = 0;

afterAll(async () => {
  await api?.close();
  await rm(folder, { recursive: true, force: true });
});

const stores = useStores();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fake-node-'));
  fake = createFakeNode(folder);
  const links = fake.links as never;
  api = await startApi(stores, links, { now: () => Date.now() + laterMs });
  node = await api.addNode('fake', NODE_SECRET);
  fake.onEvent = (event) => api.recordings.handlers.onEvent(node, event);
});

beforeEach(() => {
  Object.assign(fake, { isMute: false, refusal: undefined, isUp: true, fileBytes: 64_000 });
  laterMs = 0;
});

async function begin(
  name: string,
): Promise<{ id: string; roomId: string; session: Awaited<ReturnType<RecordingApi['openSession']>> }> {
  const roomId = await api.addRoom(name);
  const session = await api.openSession(roomId, node);
  const asked = await api.call('POST', `/v1/rooms/${roomId}/recordings`, { format: 'wav' });
  expect(asked.status).toBe(201);
  return { id: (asked.body as RecordingView).id, roomId, session };
}
const act = (id: string, action: string) => api.call('POST', `/v1/recordings/${id}/${action}`, {});
const media = (id: string, query = '', headers: Record<string, string> = {}) =>
  fetch(`${api.url}/v1/recordings/${id}/media${query}`, { headers: { authorization: `Bearer ${KEY}`, ...headers } });

test('comes home by parts, is joined, is read by ranges, and leaves nothing on the node', async () => {
  const { id } = await begin('home');
  await api.stateIs(id, 'recording');
  await act(id, 'pause');
  await api.stateIs(id, 'paused');
  await act(id, 'resume');
  await api.stateIs(id, 'recording');
  await act(id, 'stop');
  const view = await api.stateIs(id, 'completed');
  expect(view.parts).toEqual(
    [1, 2].map((number) => expect.objectContaining({ number, state: 'stored', seconds: 2, bytes: 64_044 })),
  );
  const whole = Buffer.from(await (await media(id)).arrayBuffer());
  expect(whole.length).toBe(44 + 128_000);
  expect(whole.readUInt32LE(40)).toBe(128_000);
  const some = await media(id, '', { range: 'bytes=40-64050' });
  expect([some.status, some.headers.get('content-range')]).toEqual([206, 'bytes 40-64050/128044']);
  expect(Buffer.from(await some.arrayBuffer()).equals(whole.subarray(40, 64_051))).toBe(true);
  expect((await media(id, '?part=2')).headers.get('content-length')).toBe('64044');
  expect((await media(id, '?part=3')).status).toBe(404);
  expect((await media(id, '', { range: 'bytes=999999-' })).status).toBe(416);
  expect((await api.events()).filter((e) => e.data.recordingId === id).map((e) => e.type)).toEqual(
    expect.arrayContaining(['recording.starting', 'recording.recording', 'recording.paused', 'recording.completed']),
  );
  expect((await api.call('DELETE', `/v1/recordings/${id}`)).status).toBe(204);
  expect((await media(id)).status).toBe(410);
  expect((await api.read(id)).deletedAt).not.toBeNull();
});

test('is true although no event comes: the node is asked', async () => {
  fake.isMute = true;
  const { id } = await begin('mute');
  await api.stateIs(id, 'recording');
  await act(id, 'stop');
  await api.stateIs(id, 'completed');
});

test('is given up after some tries, and says why', async () => {
  fake.refusal = 'no room for it';
  const { id } = await begin('refused');
  const view = await api.stateIs(id, 'failed');
  expect(view.reason).toContain('no room for it');
  const given = (await api.events()).find((e) => e.type === 'recording.change_failed' && e.data.recordingId === id);
  expect(given?.data).toMatchObject({ what: 'recording', tries: 5 });
});

test('is one at a time, and of a room with somebody in it', async () => {
  const { id, roomId } = await begin('twice');
  expect((await api.call('POST', `/v1/rooms/${roomId}/recordings`, {})).body).toMatchObject({ code: 'conflict' });
  expect((await api.call('DELETE', `/v1/recordings/${id}`)).status).toBe(409);
  await act(id, 'stop');
  await api.stateIs(id, 'completed');
  expect((await act(id, 'resume')).status).toBe(409);
  const empty = await api.addRoom('empty');
  expect((await api.call('POST', `/v1/rooms/${empty}/recordings`, {})).status).toBe(409);
});

test('goes on at another node when its room moves, and begins by itself where the room says so', async () => {
  const roomId = await api.addRoom('moving');
  const first = await api.openSession(roomId, node, { record: true });
  const id = await found(roomId);
  await api.stateIs(id, 'recording');
  await api.endSession(first, 'moved');
  await until('the first part is over', async () => (await api.read(id)).parts[0]!.state !== 'recording');
  await api.openSession(roomId, node, { meetingId: first.meeting_id, record: true, epoch: 2 });
  await secondPart(id);
  const view = await api.stateIs(id, 'recording');
  expect(view.gaps).toEqual([expect.objectContaining({ reason: 'moved', to: expect.any(String) as string })]);
  await act(id, 'stop');
  await api.stateIs(id, 'completed');
});

const secondPart = (id: string) =>
  until('the second part is recorded', async () => (await api.read(id)).parts[1]?.state === 'recording');

const found = (roomId: string): Promise<string> =>
  until('it began by itself', async () => {
    const { body } = await api.call('GET', `/v1/recordings?roomId=${roomId}`);
    return (body as { items: RecordingView[] }).items[0]?.id;
  });

test('is absent while its node is dead, and complete when the node is back with the file', async () => {
  const { id, session } = await begin('dead');
  const { parts } = await api.stateIs(id, 'recording');
  const path = fileOf(folder, parts[0]!.id);
  fake.isUp = false;
  await stores.db('nodes').where({ id: node.id }).update({ state: 'down', down_reason: 'refused' });
  await markDeadParts(api.deps);
  await api.endSession(session, 'node_died');
  laterMs = 61_000;
  const gone = await api.stateIs(id, 'absent');
  expect(gone).toMatchObject({ completeness: 0, reason: 'node_died' });
  expect(gone.gaps.map((gap) => gap.reason)).toContain('absent');
  laterMs = 0;
  fake.isUp = true;
  fake.writing.delete(path);
  await stores.db('nodes').where({ id: node.id }).update({ state: 'serving', down_reason: null });
  await writeFile(path, wavOf(64_000));
  await api.recordings.handlers.onSnapshot(node, fake.asConnection);
  const back = await api.stateIs(id, 'completed');
  expect(back.parts[0]).toMatchObject({ state: 'stored', seconds: 2 });
});

test('is stopped once where two stop it at once, and each is told so', async () => {
  const { id } = await begin('two stops');
  await api.stateIs(id, 'recording');
  const answers = await Promise.all([act(id, 'stop'), act(id, 'stop')]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  const view = await api.stateIs(id, 'completed');
  expect(view).toMatchObject({ reason: 'stopped', parts: [{ state: 'stored', endReason: 'stopped' }], gaps: [] });
  const types = (await api.events()).filter((e) => e.data.recordingId === id).map((e) => e.type);
  expect(types.filter((type) => type !== 'recording.part')).toEqual(
    ['starting', 'recording', 'stopping', 'uploading', 'completed'].map((state) => `recording.${state}`),
  );
});

test.each([
  ['mp4', 48, 'lacks its index'],
  ['mp4', 0, 'the file is empty'],
  ['wav', 44, 'lacks any sound'],
] as const)(
  'a %s of %i bytes, as a full disk or a killed node leaves it, is failed and refused in words',
  async (format, bytes, words) => {
    const roomId = await api.addRoom(`broken-${format}-${bytes}`);
    await api.openSession(roomId, node);
    const { body } = await api.call('POST', `/v1/rooms/${roomId}/recordings`, { format, keepDays: 1 });
    const { id } = body as RecordingView;
    const { parts } = await api.stateIs(id, 'recording');
    fake.leave = bytes;
    await act(id, 'stop');
    const view = await api.stateIs(id, 'failed');
    fake.leave = undefined;
    expect(view.parts[0]).toMatchObject({ state: 'failed', playable: false, bytes });
    expect(view).toMatchObject({ completeness: 0, completedAt: null, expiresAt: expect.any(String) as string });
    for (const query of ['', '?part=1']) {
      const refused = await media(id, query);
      expect([refused.status, await refused.text()]).toEqual([409, expect.stringContaining(words)]);
    }
    if (bytes > 0) expect((await media(id, '?part=1&damaged=true')).status).toBe(200);
    const path = fileOf(folder, parts[0]!.id, format);
    await until('the node has forgotten it', () => !existsSync(path));
    expect((await api.call('POST', `/v1/recordings/${id}/retry`, {})).status).toBe(409);
  },
);

test('is counted by state, and the room that is left is told', async () => {
  const registry = new Registry();
  const figures = registerRecordingFigures(registry, { db: stores.db, folder: api.dir, now: Date.now });
  figures.countUploadFailure();
  const { n } = (await stores.db('recordings').where({ state: 'failed' }).count('* as n').first()) as { n: string };
  const text = await registry.metrics();
  expect(text).toContain(`switchyard_recordings{state="failed"} ${n}`);
  expect(text).toContain('switchyard_recording_upload_failures_total 1');
  expect(Number(/^switchyard_recordings_free_bytes (\S+)/m.exec(text)?.[1])).toBeGreaterThan(0);
});

test('says that a file stands still, and that it grows again', async () => {
  const { id } = await begin('still');
  const { parts } = await api.stateIs(id, 'recording');
  const path = fileOf(folder, parts[0]!.id);
  await until('it was looked at', async () => (await api.read(id)).parts[0]!.bytes === 44);
  // Switchyard checks as well, once a second: whoever is first says it, and nobody says it again.
  const seen = (stalled: boolean) =>
    until(`stalled is ${stalled}`, async () => {
      await watchGrowth(api.deps);
      const view = await api.read(id);
      return view.parts[0]!.stalled === stalled ? view : undefined;
    });
  const looks: Promise<void>[] = [];
  for (laterMs of [20_000, 30_000, 40_000]) looks.push(watchGrowth(api.deps));
  await Promise.all(looks);
  const still = await seen(true);
  expect(still.parts[0]).toMatchObject({ fault: expect.stringContaining('disk_full') as string });
  expect(still.gaps.map((gap) => gap.reason)).toEqual(['stalled']);
  fake.grow(path, 500_000);
  laterMs = 50_000;
  expect((await seen(false)).parts[0]).toMatchObject({ bytes: 500_000 });
  const types = (await api.events()).filter((e) => e.data.recordingId === id).map((e) => e.type);
  expect(types.filter((type) => ['recording.stalled', 'recording.grows'].includes(type))).toEqual([
    'recording.stalled',
    'recording.grows',
  ]);
  await act(id, 'stop');
  await api.stateIs(id, 'completed');
});

describe('the door for files', () => {
  let id: string;
  let part: RecordingView['parts'][number];

  beforeAll(async () => {
    laterMs = 0;
    ({ id } = await begin('door'));
    await api.stateIs(id, 'recording');
    // It goes on sending a spoiled file until a test lets it send the right one.
    fake.spoil = (body) => Buffer.concat([body.subarray(0, -1), Buffer.from([body.at(-1)! ^ 1])]);
    await act(id, 'stop');
    part = await until('it was sent once', async () => {
      const [first] = (await api.read(id)).parts;
      // While it is sent again there is no fault.
      return first!.uploadTries > 0 && first!.fault !== null ? first : undefined;
    });
  });

  /** @returns the status; 0 where there was none. @param o.cutOff goes away in the middle */
  function put(o: {
    auth?: string;
    token?: string;
    body?: Buffer;
    length?: number;
    cutOff?: boolean;
  }): Promise<number> {
    return new Promise((resolve) => {
      const query = o.token === undefined ? '' : `?token=${o.token}`;
      const body = o.body ?? Buffer.alloc(64_044);
      const headers = { 'content-length': o.length ?? body.length, ...(o.auth ? { authorization: o.auth } : {}) };
      const path = `${api.url}/freeswitch/recordings/${part.id}${query}`;
      const sent = request(path, { method: 'PUT', headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      sent.on('error', () => resolve(0));
      sent.write(body);
      if (o.cutOff) setTimeout(() => sent.destroy(), 100);
      else if (body.length === headers['content-length']) sent.end();
    });
  }
  const basic = (name: string, secret: string): string =>
    `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`;

  test('refuses a file that differs by one bit, and keeps the node’s copy', async () => {
    expect(part.fault).toContain('SHA-256');
    expect(existsSync(fileOf(folder, part.id))).toBe(true);
    expect((await api.read(id)).state).toBe('uploading');
  });

  test('refuses strangers, other nodes, forged tokens, and files that are too large or cut off', async () => {
    const other = await api.addNode('other', 'a-secret-of-the-other-01');
    const exp = Math.ceil(Date.now() / 1000) + 60;
    const forged = signToken(Buffer.alloc(32), 'recording', { part: part.id, exp });
    const stale = signToken(api.deps.secretKey, 'recording', { part: randomUUID(), exp });
    expect(await put({})).toBe(401);
    expect(await put({ token: forged })).toBe(401);
    expect(await put({ token: stale })).toBe(401);
    expect(await put({ auth: basic('fake', 'wrong-wrong-wrong-wrong') })).toBe(401);
    expect(await put({ auth: basic(other.name, 'a-secret-of-the-other-01') })).toBe(403);
    expect(await put({ auth: basic('fake', NODE_SECRET), length: 5_000_000 })).toBe(413);
    expect(await put({ auth: basic('fake', NODE_SECRET), body: Buffer.alloc(10) })).toBe(422);
    expect(await put({ auth: basic('fake', NODE_SECRET) })).toBe(422);
    expect(
      await put({ auth: basic('fake', NODE_SECRET), body: Buffer.alloc(1000), length: 64_044, cutOff: true }),
    ).toBe(0);
    await until('nothing half is left', async () => (await readdir(api.deps.storage.arrivals)).length === 0);
  });

  test('takes the right file, and takes it again without harm', async () => {
    fake.spoil = undefined;
    await api.stateIs(id, 'completed');
    expect(await put({ auth: basic('fake', NODE_SECRET) })).toBe(200);
    expect(api.lines.filter((line) => /token=|\?token/.test(line))).toEqual([]);
  });

  test('lets go of what is past its time', async () => {
    const past = new Date(Date.now() - 1000).toISOString();
    await api.call('PATCH', `/v1/recordings/${id}`, { expiresAt: past });
    await expireRecordings(api.deps);
    expect((await api.read(id)).deletedAt).not.toBeNull();
    const told = (await api.events()).filter((e) => e.type === 'recording.deleted' && e.data.recordingId === id);
    expect(told).toMatchObject([{ data: { reason: 'expired' } }]);
  });
});
