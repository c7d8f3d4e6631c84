/** A node that never joins, or is lost: why stands in the API, in `pool status` and in a metric, and is logged once. */
import { createServer, type Server, type Socket } from 'node:net';
import { enrolNode, makeNodeSecret } from '../../../scripts/nodes/enrol';
import type { PoolAnswer } from '../../../scripts/operate/pool-api';
import { poolTable } from '../../../scripts/operate/table';
import { findFreePort } from '../../../scripts/stores/ports';
import { CONNECTION_FAULTS, explainConnectionFault } from '../../../src/domains/nodes/connections/connection-fault';
import { useStores } from '../../stores';
import { JOIN_TOKEN, startApp, until, type App } from '../harness';

let app: App;
const servers: Server[] = [];
afterAll(async () => {
  await app?.close();
  for (const server of servers) server.close();
});
const stores = useStores();
beforeAll(async () => {
  app = await startApp(stores);
});

interface Shown {
  id: string;
  name: string;
  state: string;
  connectionFault: { kind: string; since: string; why: string } | null;
}
const shown = async (name: string): Promise<Shown> =>
  (await app.must(200, 'GET', '/v1/nodes')).items.find((n: Shown) => n.name === name);
const enrol = async (name: string, port: number): Promise<void> => {
  const xmlUrl = `${app.nodesUrl}/freeswitch/xml?host=127.0.0.1&esl=${port}&sip=${port}&internode=${port}&ws=${port}`;
  expect(await enrolNode({ name, xmlUrl, secret: makeNodeSecret() }, JOIN_TOKEN)).toBe('in');
};
/** What answers every connection with these words. */
const answerer = async (words: string): Promise<number> => {
  const server = createServer((socket: Socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(words);
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as { port: number }).port;
};

test('it says that nothing listens where the node says it is, once, until something else is the matter', async () => {
  const port = await findFreePort();
  await enrol('nobody', port);
  const fault = await until('its fault is known', async () => (await shown('nobody')).connectionFault);
  expect(fault).toMatchObject({ kind: 'refused' });
  expect(fault.why).toContain(`Nothing listens at 127.0.0.1:${port}`);
  const said = (): number =>
    app.lines.filter((line) => line.includes('a node can not be connected to') && line.includes('"nobody"')).length;
  await new Promise((done) => setTimeout(done, 3000)); // it is tried several times a second
  expect(said()).toBe(1);
  expect((await shown('nobody')).connectionFault?.since).toBe(fault.since);

  const late = createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  servers.push(late);
  await new Promise<void>((done) => late.listen(port, '127.0.0.1', done));
  await until(
    'what answers is no Event Socket',
    async () => (await shown('nobody')).connectionFault?.kind !== 'refused',
  );
});

test('it says that the node does not let us in, from which address we came, and which setting names it', async () => {
  await enrol(
    'closed',
    await answerer('Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n'),
  );
  const { kind, why } = await until('its fault is known', async () => (await shown('closed')).connectionFault);
  expect(kind).toBe('acl_denied');
  expect(why).toMatch(/does not let in 127\.0\.0\.1.*name our address in CONTROL_NETWORKS/);

  const pool = (await app.must(200, 'GET', '/v1/pool')) as PoolAnswer;
  expect(poolTable(pool, [], Date.now())).toMatch(/closed +joining .*acl_denied; for \d+ s: The Event Socket at/);
  const metrics = await (await fetch(`${app.operationsUrl}/metrics`)).text();
  expect(metrics).toContain('switchyard_node_connection_fault{node="closed",reason="acl_denied"} 1');
});

test('nothing is the matter any more once the node serves', async () => {
  const node = await app.addNode('well');
  expect((await shown('well')).connectionFault).toBeNull();
  node.faults.freeze();
  await app.nodeIs(node, 'down');
  expect((await shown('well')).connectionFault).toMatchObject({ kind: 'timeout' });
  node.faults.thaw();
  await app.nodeIs(node, 'serving');
  await until('its fault is over', async () => (await shown('well')).connectionFault === null);
});

test('each fault has words that name the address and what to do', () => {
  const node = { host: '192.0.2.7', esl_port: 8021, esl_networks: null };
  for (const kind of CONNECTION_FAULTS)
    expect(explainConnectionFault(node, { kind, detail: 'so it was' })).toContain('192.0.2.7:8021');
  expect(
    explainConnectionFault({ ...node, esl_networks: '127.0.0.0/8' }, { kind: 'acl_denied', detail: '' }),
  ).toContain('It lets in 127.0.0.0/8: name our address in CONTROL_NETWORKS');
});
