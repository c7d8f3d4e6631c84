/** A node falls silent for so long that its calls are given up; when it speaks again, they go on. */
import { setTimeout as sleep } from 'node:timers/promises';
import { useStores } from '../../stores';
import { startApp, until, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
jest.setTimeout(300_000);

/** Half a minute of silence, and what it takes to see it. */
const GIVEN_UP_MS = 90_000;
/** After this a channel that hears nobody would be ended, at the next look. */
const ALONE_MS = 20_000;

test('who hears the echo, and two who talk, are cut off neither while their node is silent nor when it is back', async () => {
  app = await startApp(stores);
  const node = await app.addNode('one');
  for (const name of ['ann', 'bert', 'carl']) await app.addPhone(node, name, { answerAfterMs: 20 });
  const alone = await app.call('user:ann', '9196');
  const both = await app.call('user:bert', 'user:carl');
  for (const { id } of [alone, both]) await app.callIs(id, 'answered');
  const before = node.channelCount;

  node.faults.freeze();
  for (const { id } of [alone, both])
    expect(await app.callIs(id, 'ended', GIVEN_UP_MS)).toMatchObject({ outcome: 'lost' });
  node.faults.thaw();

  for (const { id } of [alone, both])
    await until('the call goes on', async () => (await app.readCall(id)).state === 'answered', GIVEN_UP_MS);
  await sleep(ALONE_MS);
  expect(node.channelCount).toBe(before);
  for (const { id } of [alone, both]) {
    expect(await app.readCall(id)).toMatchObject({ state: 'answered' });
    await app.hangUp(id);
    expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'answered' });
  }
});
