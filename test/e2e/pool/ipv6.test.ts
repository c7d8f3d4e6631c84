/** A pool whose nodes are at IPv6 addresses, and what becomes of a node of the other family. */
import { enrolNode, makeNodeSecret } from '../../../scripts/nodes/enrol';
import { useStores } from '../../stores';
import { JOIN_TOKEN, startApp, until, type Node, type App } from '../harness';

const stores = useStores();
let app: App;
let one: Node;
let two: Node;
beforeAll(async () => {
  app = await startApp(stores);
  one = await app.addNode('one', { host: '::1' });
  two = await app.addNode('two', { host: '::1' });
});
afterAll(() => app.close());

test('nodes at ::1 serve, browsers are sent to them in brackets, and phones of both are rung in one call', async () => {
  const { items } = await app.must(200, 'GET', '/v1/nodes');
  expect(items.map((node: { host: string }) => node.host)).toEqual(['::1', '::1']);
  for (const { wsUrl } of items) expect(new URL(wsUrl).hostname).toBe('[::1]');
  await app.addPhone(one, 'ann', { answerAfterMs: 20 });
  await app.addPhone(two, 'bert', { answerAfterMs: 20 });
  const { id } = await app.call('user:ann', 'user:bert');
  await app.callIs(id, 'answered');
  await app.hangUp(id);
  await app.callIs(id, 'ended');
});

test('a node of IPv4 is refused in a pool of IPv6, beforehand and when it comes, with what to do', async () => {
  const body = { name: 'four', host: '127.0.0.1' };
  const said = await app.api('POST', '/v1/nodes', body);
  expect(said.status).toBe(409);
  expect(said.body).toMatchObject({ code: 'conflict' });
  expect(said.body.detail).toMatch(/the node "(one|two)" of this pool is at ::1: those two could not call each other/);
  const xmlUrl = `${app.nodesUrl}/freeswitch/xml?host=127.0.0.1&esl=8021&sip=5060&internode=5080&ws=5066`;
  await expect(enrolNode({ name: 'four', xmlUrl, secret: makeNodeSecret() }, JOIN_TOKEN)).rejects.toThrow(
    'Give this node an address of IPv6',
  );
  const { items } = await app.must(200, 'GET', '/v1/nodes');
  expect(items.map((node: { name: string }) => node.name)).not.toContain('four');
});

test('an address that is none is refused by name, and a ban is found again by the /64 that it shows', async () => {
  const node = await app.api('POST', '/v1/nodes', { name: 'none', host: 'fe80::1%eth0' });
  expect(node.status).toBe(400);
  expect(JSON.stringify(node.body)).toContain('must be an IPv4 or IPv6 address without a zone');
  const link = await app.api('POST', '/v1/nodes', { name: 'link', host: 'fe80::1' });
  expect(link.status).toBe(422);
  const ban = await app.must(201, 'POST', '/v1/bans', { address: '2001:DB8:5:6::7' });
  expect(ban.address).toBe('2001:db8:5:6::/64');
  const found = await until('it is listed', async () => {
    const { items } = await app.must(200, 'GET', `/v1/bans?address=${encodeURIComponent(ban.address)}`);
    return items.length > 0 ? items : undefined;
  });
  expect(found).toMatchObject([{ id: ban.id }]);
});
