/** What is kept of a room that is recorded from the start, when everybody has gone. */
import { useStores } from '../../stores';
import { createApiClient } from '../../../scripts/api/client';
import { endRecordings } from '../../../scripts/startup/end-recordings';
import { ADMIN_KEY, DOMAIN, startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let node: Node;

beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
});

const recordingOf = async (roomId: string) =>
  (await app.api('GET', `/v1/recordings?domain=${DOMAIN}&roomId=${roomId}`)).body.items[0];

test('the end of a room is the end of its recording, and nothing is missing of it', async () => {
  const settings = { name: 'kept', record: true, video: { width: 320, height: 180, fps: 10 } };
  const { body: room } = await app.api('POST', '/v1/rooms', { domain: DOMAIN, ...settings });
  const phone = await app.addPhone(node, 'ann');
  const call = phone.dial('kept');
  await until('it is recorded', async () => (await recordingOf(room.id))?.state === 'recording');
  call.hangup();
  const kept = await until('the recording is over', async () => {
    const recording = await recordingOf(room.id);
    return ['completed', 'failed', 'absent'].includes(recording.state) ? recording : undefined;
  });
  expect(kept).toMatchObject({ state: 'completed', reason: 'room_ended' });
  expect(kept.parts).toHaveLength(1);
  expect(kept.endedAt).toBe(kept.parts[0].endedAt);
  expect(kept.gaps.map((gap: { reason: string }) => gap.reason)).not.toContain('interrupted');
});

test('what is recorded is ended and here before the nodes of a start are stopped, and not where others go on', async () => {
  const settings = { name: 'stopped', record: true, video: { width: 320, height: 180, fps: 10 } };
  const { body: room } = await app.api('POST', '/v1/rooms', { domain: DOMAIN, ...settings });
  const phone = await app.addPhone(node, 'bert');
  const call = phone.dial('stopped');
  await until('it is recorded', async () => (await recordingOf(room.id))?.state === 'recording');
  const said: string[] = [];
  const end = (nodeNames: string[]) =>
    endRecordings({
      api: createApiClient(app.url, ADMIN_KEY),
      nodeNames,
      timeoutMs: 20_000,
      hurry: new AbortController().signal,
      say: (line) => said.push(line),
    });
  await end(['another']);
  expect((await recordingOf(room.id)).state).toBe('recording');
  await end([node.name]);
  expect(said).toEqual(['  recordings ended and uploaded: 1']);
  expect(await recordingOf(room.id)).toMatchObject({ state: 'completed', reason: 'stopped' });
  call.hangup();
});

test('a room that ends is told in states that go forward only', async () => {
  const { body } = await app.api('GET', `/v1/recordings?domain=${DOMAIN}`);
  const [kept] = body.items.filter((recording: { reason: string }) => recording.reason === 'room_ended');
  const rows = (await stores.db('events').whereRaw("data->>'recordingId' = ?", [kept.id]).orderBy('number')) as {
    type: string;
  }[];
  const states = rows.map(({ type }) => type).filter((type) => type !== 'recording.part');
  expect(states).toEqual(['recording.starting', 'recording.recording', 'recording.uploading', 'recording.completed']);
  expect(kept.parts[0].endReason).toBe('room_ended');
});
