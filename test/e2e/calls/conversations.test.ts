/** A reconciler never ends a conversation: who talks goes on, and the rows follow. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRaw, type RawClient } from '../../contract/peers/raw-client';
import { useStores } from '../../stores';
import { startApp, until, type Node, type App } from '../harness';

let app: App;
let ear: RawClient;
afterAll(async () => {
  ear?.close();
  await app?.close();
});
const stores = useStores();
let one: Node;
let two: Node;
jest.setTimeout(400_000);

beforeAll(async () => {
  app = await startApp(stores);
  one = await app.addNode('one');
  two = await app.addNode('two');
  ear = await connectRaw(one.eslPort);
  await ear.send(`auth ${one.eslPassword}`);
  for (const name of ['ann', 'bert', 'carl', 'dora']) await app.addPhone(one, name, { answerAfterMs: 20 });
  await app.addPhone(two, 'faye', { answerAfterMs: 20 });
});

/** More than the looks after which such people were cut off before. */
const LOOKS_MS = 12_000;

interface Leg {
  id: string;
  role: string;
  node_id: string;
  call_id: string;
  state: string;
}
const legsOf = async (callId: string): Promise<Leg[]> => (await stores.db('legs').where({ call_id: callId })) as Leg[];
const legOf = async (callId: string, role: string, node = one): Promise<string> =>
  (await legsOf(callId)).find((leg) => leg.role === role && leg.node_id === node.id)!.id;
const isThere = async (leg: string): Promise<boolean> =>
  (await ear.send(`api uuid_exists ${leg}`)).body.includes('true');
async function talk(from: string, to: string): Promise<string> {
  const { id } = await app.call(`user:${from}`, `user:${to}`);
  await app.callIs(id, 'answered');
  return id;
}

test.each([
  ['the same node', 'carl', 'to'],
  ['another node', 'faye', 'transit'],
])(
  'whom Ann called go on with each other when their far ends are bridged, with one at %s',
  async (_where, other, role) => {
    const first = await talk('ann', 'bert');
    const second = await talk('ann', other);
    const [ann1, bert, ann2, far] = [
      await legOf(first, 'from'),
      await legOf(first, 'to'),
      await legOf(second, 'from'),
      await legOf(second, role),
    ];
    await ear.send(`api uuid_bridge ${bert} ${far}`);
    await ear.send(`api uuid_kill ${ann1}`);
    await ear.send(`api uuid_kill ${ann2}`);
    const gone = await app.callIs(second, 'ended');
    expect(gone).toMatchObject({ outcome: 'answered', joinedInto: first });
    const goesOn = await app.readCall(first);
    expect(goesOn).toMatchObject({
      state: 'answered',
      joined: [{ id: second, from: 'user:ann', to: `user:${other}` }],
    });
    await sleep(LOOKS_MS);
    expect([await isThere(bert), await isThere(far)]).toEqual([true, true]);
    expect(await app.readCall(first)).toMatchObject({ state: 'answered' });
    await app.hangUp(first);
    const ended = await app.callIs(first, 'ended');
    expect(ended).toMatchObject({ outcome: 'answered', hangupCause: 'NORMAL_CLEARING' });
    expect(ended.talkSeconds! * 1000).toBeGreaterThan(
      Date.parse(gone.endedAt!) - Date.parse(ended.answeredAt!) + 11_000,
    );
    const types = await app.eventsOf(first);
    expect(types.filter((type) => type === 'call.joined')).toHaveLength(1);
    expect(types.filter((type) => type === 'call.ended')).toHaveLength(1);
    await until('all records came', async () => {
      const rows = (await stores.db('cdrs').whereIn('leg_id', [ann1, bert, ann2, far])) as unknown[];
      return rows.length === 4;
    });
    const settled = await app.readCall(first);
    expect(Math.abs(settled.talkSeconds! - ended.talkSeconds!)).toBeLessThan(1);
    await until('no channel is left', () => one.channelCount + two.channelCount === 0);
    expect(await app.readCall(second)).toMatchObject({ outcome: 'answered', joinedInto: first });
  },
);
