/** Who hides is shown to nobody, whether another or a room is called, at this node or another; the call knows who they are. */
import type { SimulatedPhone } from '../../../scripts/simulator/node';
import { connectRaw } from '../../contract/peers/raw-client';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Answer, type Node, type App } from '../harness';

const stores = useStores();
let app: App;
let nodes: [Node, Node];
let greta: SimulatedPhone;
beforeAll(async () => {
  app = await startApp(stores);
  nodes = [await app.addNode('one'), await app.addNode('two')];
  await app.addUser('greta', { displayName: 'Greta' });
  greta = await app.addPhone(nodes[0], 'greta');
  await app.addPhone(nodes[0], 'here');
  await app.addPhone(nodes[1], 'there');
});
afterAll(() => app.close());

const lastCall = async (): Promise<Answer['body']> => (await app.must(200, 'GET', '/v1/calls?limit=1')).items[0];
/** Names and numbers of the legs that ring somebody, as their phones get them. */
async function shownAt(node: Node): Promise<string> {
  const ear = await connectRaw(node.eslPort);
  await ear.send(`auth ${node.eslPassword}`);
  const { body } = await ear.send('api show channels as json');
  ear.close();
  const { rows = [] } = JSON.parse(body) as { rows?: Record<string, string>[] };
  const ringing = rows.filter(({ direction }) => direction === 'outbound');
  return ringing.map((row) => `${row.cid_name} <${row.cid_num}>`).join();
}

test.each(['from', 'privacy'] as const)('a callee at the same or another node is shown nobody (%s)', async (hides) => {
  for (const callee of ['here', 'there']) {
    const call = greta.dial(callee, { hides });
    expect(await call.answered).toBe(true);
    const seen = (await Promise.all(nodes.map(shownAt))).join();
    expect(seen).toContain('Anonymous');
    expect(seen).not.toMatch(/greta/i);
    expect(await lastCall()).toMatchObject({ from: 'user:greta', to: `user:${callee}` });
    call.hangup();
    await call.ended;
  }
});

test('a room is shown somebody anonymous, another one each time, and its events name nobody', async () => {
  const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'open-house' });
  const identities: string[] = [];
  for (let time = 0; time < 2; time += 1) {
    const call = greta.dial('open-house', { hides: 'from' });
    const inside = await until('she is in', async () => {
      const { items } = await app.must(200, 'GET', `/v1/rooms/${room.id}/participants`);
      return items.find(({ state }: { state: string }) => state === 'in');
    });
    expect(inside.name).toBe('Anonymous');
    identities.push(inside.identity);
    call.hangup();
    await call.ended;
    await until('the room is empty', async () => {
      const { items } = await app.must(200, 'GET', `/v1/rooms/${room.id}/participants`);
      return items.length === 0;
    });
  }
  expect(new Set(identities).size).toBe(2);
  const { items } = await app.must(200, 'GET', `/v1/events?format=json&limit=1000&domain=${DOMAIN}&roomId=${room.id}`);
  const ofPeople = items.filter(({ type }: { type: string }) => type.startsWith('participant.'));
  expect(JSON.stringify(ofPeople)).not.toMatch(/greta/i);
  expect(ofPeople.every(({ userId }: { userId: string | null }) => userId === null)).toBe(true);
});

test('wrong PINs of who hides are counted as theirs: hiding buys no tries', async () => {
  const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'guarded', pin: '4711' });
  for (const hides of ['from', 'privacy'] as const)
    await greta.dial(room.name, { hides, digits: ['1#', '22#', '333#'] }).ended;
  const { items } = await app.must(200, 'GET', '/v1/bans?kind=pin');
  expect(items).toMatchObject([{ identity: 'user:greta', failures: 6 }]);
  const late = greta.dial(room.name, { digits: ['4711#'] });
  expect(await late.ended).toBe('OUTGOING_CALL_BARRED');
});
