/** A node falls silent for so long that its calls are given up; when it speaks again, they go on. */
import { setTimeout as sleep } from 'node:timers/promises';
import { useStores } from '../../stores';
import { openYard, until, type Yard } from '../harness';

let yard: Yard;
afterAll(() => yard?.close());
const stores = useStores();
jest.setTimeout(300_000);

/** Half a minute of silence, and what it takes to see it. */
const GIVEN_UP_MS = 90_000;
/** After this a channel that hears nobody would be ended, at the next look. */
const ALONE_MS = 20_000;

test('who hears the echo, and two who talk, are cut off neither while their node is silent nor when it is back', async () => {
  yard = await openYard(stores);
  const node = await yard.addNode('one');
  for (const name of ['ann', 'bert', 'carl']) await yard.addPhone(node, name, { answerAfterMs: 20 });
  const alone = await yard.call('user:ann', '9196');
  const both = await yard.call('user:bert', 'user:carl');
  for (const { id } of [alone, both]) await yard.callIs(id, 'answered');
  const before = node.channelCount;

  node.faults.freeze();
  for (const { id } of [alone, both])
    expect(await yard.callIs(id, 'ended', GIVEN_UP_MS)).toMatchObject({ outcome: 'lost' });
  node.faults.thaw();

  for (const { id } of [alone, both])
    await until('the call goes on', async () => (await yard.readCall(id)).state === 'answered', GIVEN_UP_MS);
  await sleep(ALONE_MS);
  expect(node.channelCount).toBe(before);
  for (const { id } of [alone, both]) {
    expect(await yard.readCall(id)).toMatchObject({ state: 'answered' });
    await yard.hangUp(id);
    expect(await yard.callIs(id, 'ended')).toMatchObject({ outcome: 'answered' });
  }
});
