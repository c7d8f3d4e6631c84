/** A leg that is sent elsewhere at its node dials as the person it belongs to, and not as the call was meant. */
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

beforeAll(async () => {
  app = await startApp(stores);
  one = await app.addNode('one');
  two = await app.addNode('two');
  ear = await connectRaw(one.eslPort);
  await ear.send(`auth ${one.eslPassword}`);
  for (const name of ['ann', 'bert', 'carl']) await app.addPhone(one, name, { answerAfterMs: 20 });
  await app.addPhone(two, 'faye', { answerAfterMs: 20 });
  await app.must(201, 'POST', '/v1/rooms', { domain: 'clinic.test', name: 'daily' });
});

const legOf = async (callId: string, role: string): Promise<string> =>
  until(`there is a leg ${role}`, async () => {
    const where = { call_id: callId, role, node_id: one.id, state: 'answered' };
    return ((await stores.db('legs').where(where).first('id')) as { id: string } | undefined)?.id;
  });
async function talk(): Promise<string> {
  const { id } = await app.call('user:ann', 'user:bert');
  await app.callIs(id, 'answered');
  return id;
}
/** Who is in the call now. */
const reaches = (callId: string, address: string): Promise<unknown> =>
  until(`${address} is in the call`, async () => {
    const { legs } = await app.readCall(callId);
    return legs.some((leg) => leg.role === 'to' && leg.address === address && leg.state === 'answered');
  });
async function end(callId: string): Promise<void> {
  await app.hangUp(callId);
  expect(await app.callIs(callId, 'ended')).toMatchObject({ outcome: 'answered' });
  await until('no channel is left', () => one.channelCount + two.channelCount === 0);
}

test.each(['carl', 'faye'])('the caller’s leg that is sent to %s rings there, and not at Bert again', async (to) => {
  const id = await talk();
  await ear.send(`api uuid_transfer ${await legOf(id, 'from')} ${to} XML calls`);
  await reaches(id, `user:${to}`);
  expect((await app.readCall(id)).to).toBe(`user:${to}`);
  expect((await app.eventsOf(id)).filter((type) => type === 'call.transferred')).toHaveLength(1);
  await end(id);
});

test.each(['calls', 'users'])(
  'the called one’s leg that is sent to Carl in "%s" calls Carl as Bert, without a login',
  async (context) => {
    const id = await talk();
    const bert = await legOf(id, 'to');
    await ear.send(`api uuid_transfer ${bert} carl XML ${context}`);
    await reaches(id, 'user:carl');
    const shown = async (): Promise<string> => (await ear.send('api show channels as json')).body;
    const { rows } = JSON.parse(await shown()) as {
      rows: { cid_num: string; cid_name: string; presence_id: string }[];
    };
    expect(rows.find((row) => row.presence_id === 'carl@clinic.test')?.cid_name).toBe('bert');
    await end(id);
  },
);

test('a leg that is sent to a room is in that room as its own person', async () => {
  const id = await talk();
  await ear.send(`api uuid_transfer ${await legOf(id, 'to')} daily XML users`);
  await until('Bert is in the room', async () => {
    const row = (await stores.db('participants').where({ state: 'in' }).first('identity')) as { identity: string };
    return row?.identity === 'user:bert';
  });
  await end(id);
});

test.each([
  ['nobody-here', 'UNALLOCATED_NUMBER'],
  ['+4930123456', 'UNALLOCATED_NUMBER'],
])('a leg that is sent to %s ends as any phone that dials it', async (to, cause) => {
  const id = await talk();
  await ear.send(`api uuid_transfer ${await legOf(id, 'from')} ${to} XML calls`);
  expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'answered', hangupCause: cause });
  await until('no channel is left', () => one.channelCount + two.channelCount === 0);
});

test('one who is disabled meanwhile dials nobody', async () => {
  const id = await talk();
  const [user] = (await app.must(200, 'GET', '/v1/users?username=bert&domain=clinic.test')).items;
  const bert = await legOf(id, 'to');
  await stores.db('users').where({ id: user.id }).update({ enabled: false });
  await until('that is known', async () => {
    await ear.send(`api uuid_transfer ${bert} carl XML users`);
    const row = (await stores.db('legs').where({ id: bert }).first('state', 'hangup_cause')) as Record<string, string>;
    return row.state === 'ended';
  });
  await stores.db('users').where({ id: user.id }).update({ enabled: true });
  await until('no channel is left', () => one.channelCount + two.channelCount === 0);
});

test('a channel that no row knows gets no way out of the context of those we let in', async () => {
  const form = {
    section: 'dialplan',
    'Unique-ID': '0199aaaa-0000-7000-8000-00000000000a',
    'Caller-Context': 'users',
    'Caller-Destination-Number': 'carl',
  };
  expect((await app.askXml(one, form)).text).toContain('Not authenticated');
});
