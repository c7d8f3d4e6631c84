/** What is kept of a room that is recorded from the start, when everybody has gone. */
import { useStores } from '../stores';
import { DOMAIN, openYard, until, type Node, type Yard } from './harness';

let yard: Yard;
afterAll(() => yard?.close());
const stores = useStores();
let node: Node;

beforeAll(async () => {
  yard = await openYard(stores);
  node = await yard.addNode('one');
});

const recordingOf = async (roomId: string) =>
  (await yard.api('GET', `/v1/recordings?domain=${DOMAIN}&roomId=${roomId}`)).body.items[0];

test('The end of a room is the end of its recording, and nothing is missing of it', async () => {
  const settings = { name: 'kept', record: true, video: { width: 320, height: 180, fps: 10 } };
  const { body: room } = await yard.api('POST', '/v1/rooms', { domain: DOMAIN, ...settings });
  const phone = await yard.addPhone(node, 'ann');
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
