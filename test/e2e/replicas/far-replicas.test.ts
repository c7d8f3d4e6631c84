/** Nodes and replicas on many machines: who is let in at a node's doors although it was not there when the node started. */
import { enrolNode, makeNodeSecret } from '../../../scripts/nodes/enrol';
import { readConfig } from '../../../src/config';
import { connectRaw } from '../../contract/peers/raw-client';
import { useStores } from '../../stores';
import { JOIN_TOKEN, startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let node: Node;

beforeAll(async () => {
  app = await startApp(stores, { controlNetworks: ['10.244.0.0/16', 'fd00::/8'], nodeNetworks: ['192.0.2.0/24'] });
  node = await app.addNode('one');
});

async function configuration(name: string): Promise<string> {
  const asked = { section: 'configuration', tag_name: 'configuration', key_name: 'name', key_value: name };
  return (await app.askXml(node, asked)).text;
}

function listed(acl: string, name: string): string[] {
  const list = new RegExp(`<list name="${name}"[^>]*>([^]*?)</list>`).exec(acl)?.[1] ?? '';
  return [...list.matchAll(/cidr="([^"]+)"/g)].map((match) => match[1]!);
}

test('a node lets in the Event Sockets of all replicas, not only of the one that answered it', async () => {
  expect(await configuration('event_socket.conf')).toContain('name="listen-ip" value="0.0.0.0"');
  const esl = listed(await configuration('acl.conf'), 'esl');
  expect(esl).toEqual(['127.0.0.0/8', '::1/128', '127.0.0.1/32', '10.244.0.0/16', 'fd00::/8']);
});

test('a node takes calls from nodes that join after it, where their network is named', async () => {
  expect(listed(await configuration('acl.conf'), 'pool')).toEqual(['127.0.0.1/32', '192.0.2.0/24']);
});

test('a node takes calls from a node that joins after it, and none from one that was removed', async () => {
  const ear = await connectRaw(node.eslPort);
  try {
    await ear.send(`auth ${node.eslPassword}`);
    const isIn = async () => (await ear.send('api acl 198.51.100.7 pool')).body.trim() === 'true';
    expect(await isIn()).toBe(false);
    const late = {
      name: 'late',
      password: makeNodeSecret(),
      xmlUrl: node.xmlUrl.replace('host=127.0.0.1', 'host=198.51.100.7'),
    };
    const asked = { section: 'configuration', tag_name: 'configuration', key_name: 'name', key_value: 'switch.conf' };
    expect(await enrolNode({ ...late, secret: late.password }, JOIN_TOKEN)).toBe('in');
    expect((await app.askXml(late, asked)).status).toBe(200);
    await until('its calls are let in', isIn);
    const { id } = (await app.api('GET', '/v1/nodes')).body.items.find((n: { name: string }) => n.name === 'late');
    expect((await app.api('DELETE', `/v1/nodes/${id}`)).status).toBe(204);
    await until('its calls are let in no more', async () => !(await isIn()));
  } finally {
    ear.close();
  }
});

test('a replica that answers nobody says all the same whether it lives, and what it has done', async () => {
  const replica = await app.addReplica({ roles: ['supervisor'] });
  const ask = async (path: string): Promise<[number, string]> => {
    const answer = await fetch(replica.url + path, { signal: AbortSignal.timeout(60_000) });
    return [answer.status, await answer.text()];
  };
  expect(await ask('/healthz')).toEqual([200, '{"status":"ok"}']);
  let ready: [number, string] | undefined;
  await until(
    () => `it is ready: ${ready?.join(' ')}`,
    async () => (ready = await ask('/readyz/replica'))[0] === 200,
  );
  expect(ready).toEqual([200, '{"status":"ready","checks":{"postgres":true,"redis":true}}']);
  expect((await ask('/metrics'))[1]).toMatch(/^switchyard_orphans_total/m);
  expect((await ask('/v1/nodes'))[0]).toBe(404);
  expect((await ask('/freeswitch/xml'))[0]).toBe(404);
  expect([replica.url, replica.nodesUrl]).toEqual([replica.operationsUrl, replica.operationsUrl]);
});

test.each(['10.0.0.0/33', '10.0.0', 'pods.cluster.local', '10.0.0.0/8/8', '10.0.0.0/ 8'])(
  'a network that is none is refused at the start: %s',
  (text) => {
    expect(() => readConfig({ CONTROL_NETWORKS: '10.0.0.1, fd00::/8', NODE_NETWORKS: text })).toThrow(
      /\n {2}NODE_NETWORKS: must be addresses or networks/,
    );
  },
);
