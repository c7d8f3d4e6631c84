/** What GET /v1/pool shows of the nodes and what is on them, and what "what if" answers. */
import { useStores } from '../../stores';
import { startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let one: Node;

beforeAll(async () => {
  app = await startApp(stores, { placementPolicy: 'zone_first' });
  one = await app.addNode('one', { zone: 'east', capacity: 10 });
  await app.addNode('two', { zone: 'west', capacity: 100 });
  await app.addPhone(one, 'ann', { answerAfterMs: 20 });
  await app.addPhone(one, 'bob', { answerAfterMs: 20 });
});

test('the video shows what is on each node, and the call was placed in the zone of its phone', async () => {
  const { id } = await app.call('user:ann', 'user:bob');
  await app.callIs(id, 'answered');
  const { body } = await until('the channels are reported', async () => {
    const answer = await app.api('GET', '/v1/pool?target=60&min=1');
    return answer.body.nodes[0].sessions === 2 ? answer : undefined;
  });
  expect(body.policy).toBe('zone_first');
  expect(body.nodes[0]).toMatchObject({
    name: 'one',
    state: 'serving',
    silent: false,
    saturated: null,
    zone: 'east',
    version: '1.10.12-release',
    liveCalls: 1,
    liveLegs: 2,
    rooms: 0,
    registrations: 2,
    claimedUnits: 1,
    capacityUnits: 10,
    effectiveUnits: 10,
    drainDeadlineAt: null,
  });
  expect(body.total).toMatchObject({ nodes: 2, serving: 2, claimedUnits: 1, effectiveUnits: 110, liveCalls: 1 });
  expect(body.recommendation).toMatchObject({ action: 'shrink', count: 1, nodes: ['two'], targetPercent: 60 });

  const placement = await app.api('GET', `/v1/calls/${id}/placement`);
  expect(placement.body.decisions[0].policy).toBe('zone_first');
  expect(placement.body.decisions[0].explanation.join('\n')).toMatch(
    /^Policy zone_first: .*\none: chosen, .* same zone 0\.1 .*\ntwo: possible, .*; left out, because it is in another zone\.$/,
  );
  await app.hangUp(id);
  await app.callIs(id, 'ended');
});

test('what if: nodes by name or id, and the same question has the same answer', async () => {
  await until('the nodes have reported that nothing is left of the call', async () => {
    const { body } = await app.api('GET', '/v1/pool');
    const left = body.nodes.map((n: { sessions: number; claimedUnits: number }) => n.sessions + n.claimedUnits);
    return left.every((count: number) => count === 0);
  });
  const ask = () =>
    app.api('POST', '/v1/pool/simulate', { remove: ['one'], add: 1, calls: 150, policy: 'two_choices' });
  const first = await ask();
  expect(first.status).toBe(200);
  expect(first.body.calls).toEqual({ asked: 150, placed: 150, notPlaced: 0 });
  expect(first.body.nodes.map((n: { node: string; change: string }) => `${n.node} ${n.change}`)).toEqual([
    'one removed',
    'two none',
    '(new 1) added',
  ]);
  expect((await ask()).body).toEqual(first.body);
  const rooms = await app.api('POST', '/v1/pool/simulate', { remove: one.id, rooms: 3, room: { participants: 4 } });
  expect(rooms.body.rooms).toEqual({ asked: 3, placed: 2, notPlaced: 1 });
  expect((await app.api('POST', '/v1/pool/simulate', { remove: 'nowhere' })).body).toMatchObject({
    code: 'unprocessable',
    detail: 'No such node: "nowhere".',
  });
  expect((await app.api('POST', '/v1/pool/simulate', { calls: -1 })).status).toBe(400);
});

test('a node on which a call of another node ends, or with a recording not yet sent, can not be removed', async () => {
  const two = (await app.api('GET', '/v1/nodes')).body.items.find((n: { name: string }) => n.name === 'two');
  await app.api('POST', `/v1/nodes/${two.id}/drain`, { deadlineSeconds: 60 });
  const { id } = await app.call('user:ann', 'user:bob');
  await app.callIs(id, 'answered');
  // Young, so that no look at the node ends it for not being there.
  const young = new Date(Date.now() + 600_000);
  await stores.db('legs').where({ call_id: id, role: 'to' }).update({ node_id: two.id, created_at: young });
  const refused = await app.api('DELETE', `/v1/nodes/${two.id}`);
  expect(refused).toMatchObject({ status: 409, body: { code: 'conflict' } });
  await app.hangUp(id);
  await app.callIs(id, 'ended');
  const [{ domain_id }] = await stores.db('calls').where({ id });
  const recording = { id, domain_id, kind: 'call', format: 'wav', origin: 'api', desired: 'stopped' };
  await stores.db('recordings').insert({ ...recording, state: 'uploading' });
  const part = {
    id,
    recording_id: id,
    number: 1,
    node_id: two.id,
    node_name: 'two',
    format: 'wav',
    path: '/nowhere.wav',
  };
  // Not to be tried before the test is over: there is no such file.
  const later = { requested_at: new Date(), next_try_at: young };
  await stores.db('recording_parts').insert({ ...part, state: 'uploading', ...later });
  expect((await app.api('DELETE', `/v1/nodes/${two.id}`)).body.detail).toContain('recordings');
  await stores.db('recording_parts').update({ state: 'stored' });
  expect((await app.api('DELETE', `/v1/nodes/${two.id}`)).status).toBe(204);
});
