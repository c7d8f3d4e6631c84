/** Which port answers what: the API to everybody, the doors of nodes and the operator's figures each on their own. */
import { request } from 'node:http';
import { useStores } from '../../stores';
import { ADMIN_KEY, startApp, until, type Node, type App } from '../harness';

let app: App;
let node: Node;
afterAll(() => app?.close());
const stores = useStores();
beforeAll(async () => {
  app = await startApp(stores, { nodesPort: 0 });
  node = await app.addNode('apart');
});

async function ask(url: string, o: RequestInit = {}): Promise<{ status: number; text: string }> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(60_000), ...o });
  return { status: answer.status, text: await answer.text() };
}

const PART = '0b1f7c9e-1111-4222-8333-444444444444';
const DOORS = [
  '/freeswitch/xml',
  '/freeswitch/cdr',
  '/freeswitch/drain',
  `/freeswitch/recordings/${PART}`,
  `/freeswitch/images/${PART}`,
];

test('a node joins, and calls run, where nodes have a port of their own', async () => {
  expect(new Set([app.url, app.nodesUrl, app.operationsUrl]).size).toBe(3);
  await app.addPhone(node, 'ann', { answerAfterMs: 20 });
  const { id } = await app.call('user:ann', '9196');
  await app.callIs(id, 'answered');
  await app.hangUp(id);
  await app.callIs(id, 'ended');
});

test.each(DOORS)('%s is a door on the port of nodes, and nothing at all on the port of the API', async (path) => {
  const authorization = `Basic ${Buffer.from(`${node.name}:${node.password}`).toString('base64')}`;
  for (const headers of [{}, { authorization }] as Record<string, string>[]) {
    const answer = await ask(app.url + path, { method: 'POST', body: 'section=directory', headers });
    expect([answer.status, JSON.parse(answer.text).code]).toEqual([404, 'not_found']);
  }
  expect((await ask(app.nodesUrl + path, { method: 'POST', body: '' })).status).not.toBe(404);
});

test('a door is opened by its own path only, and not by one that a proxy takes for another', async () => {
  const { hostname, port } = new URL(app.nodesUrl);
  for (const door of ['/freeswitch/xml', '/freeswitch/cdr', '/freeswitch/drain'])
    for (const path of [
      `${door}/../../v1/events`,
      `${door}/`,
      `${door}%2f..%2f..%2fv1`,
      `/v1/..${door}`,
      `/.${door}`,
    ]) {
      const status = await new Promise<number | undefined>((resolve, reject) => {
        // Not fetch(), which would make the path plain before it is sent.
        const asked = request({ hostname, port, path, method: 'POST' }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        });
        asked.once('error', reject);
        asked.end('section=directory');
      });
      expect([path, status]).toEqual([path, 404]);
    }
});

test('the port of nodes has no API, no documents and no figures', async () => {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  for (const path of ['/v1/nodes', '/v1/pool', '/docs', '/openapi.json', '/metrics', '/'])
    expect([path, (await ask(app.nodesUrl + path, { headers })).status]).toEqual([path, 404]);
});

test('a load balancer finds health on every port, and learns of the stores on one', async () => {
  for (const url of [app.url, app.nodesUrl, app.operationsUrl]) {
    expect(await ask(`${url}/healthz`)).toEqual({ status: 200, text: '{"status":"ok"}' });
    await until(`${url} is ready`, async () => (await ask(`${url}/readyz`)).status === 200);
  }
  expect((await ask(`${app.url}/readyz`)).text).toBe('{"status":"ready"}');
  expect((await ask(`${app.nodesUrl}/readyz`)).text).toBe('{"status":"ready"}');
  expect((await ask(`${app.operationsUrl}/readyz`)).text).toContain('"postgres":true');
});

test('figures are on the port of operations only, and nothing else is there', async () => {
  expect((await ask(`${app.operationsUrl}/metrics`)).text).toMatch(/^switchyard_http_requests_total\{/m);
  for (const headers of [{}, { authorization: `Bearer ${ADMIN_KEY}` }] as Record<string, string>[])
    expect((await ask(`${app.url}/metrics`, { headers })).status).toBe(404);
  for (const path of ['/v1/nodes', '/docs', ...DOORS])
    expect([path, (await ask(app.operationsUrl + path)).status]).toEqual([path, 404]);
});
