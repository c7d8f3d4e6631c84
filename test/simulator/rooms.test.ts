/** What simulated rooms can do beyond the contract: faults on demand, guests, other nodes, a real RTMP stream, many at once. */
import { createServer, type Server } from 'node:http';
import { createServer as createTcp, type AddressInfo } from 'node:net';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createLogger } from '../../src/infra/logger';
import { startSimulatedNode, type SimulatedNode } from '../../scripts/simulator/node';
import { connectRaw, type RawClient, type RawEvent } from '../contract/peers/raw-client';
import { until } from '../until';
import { heapAfterCollection } from './heap';

const logger = createLogger('silent');
const section = (name: string, inner: string): string =>
  `<document type="freeswitch/xml"><section name="${name}">${inner}</section></document>`;
const HA1 = '0123456789abcdef0123456789abcdef';

let server: Server;
let base = '';
const nodes: SimulatedNode[] = [];
const clients: RawClient[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => response.end(answer(Object.fromEntries(new URLSearchParams(body)))));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/xml`;
});
afterEach(async () => {
  clients.splice(0).forEach((c) => c.close());
  for (const node of nodes.splice(0)) {
    await node.kill();
    node.discard();
  }
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** `NAME` enters that room here; `far-NAME` the room of the node at port 31101. */
function answer(form: Record<string, string>): string {
  if (form.key_value === 'event_socket.conf')
    return section(
      'configuration',
      '<configuration name="event_socket.conf"><settings><param name="password" value="secret"/></settings></configuration>',
    );
  if (form.key_value === 'conference.conf' && form.conference_name)
    return section(
      'configuration',
      '<configuration name="conference.conf"><profiles><profile name="room"><param name="rate" value="48000"/><param name="caller-controls" value="none"/></profile></profiles></configuration>',
    );
  if (form.section === 'directory' && form.user)
    return section(
      'directory',
      `<domain name="${form.domain}"><user id="${form.user}"><params><param name="a1-hash" value="${HA1}"/></params><variables><variable name="grant" value="g1"/></variables></user></domain>`,
    );
  if (form.section !== 'dialplan') return section('result', '<result status="not found"/>');
  const to = form['Caller-Destination-Number'] ?? '';
  const app = to.startsWith('far-')
    ? `<action application="bridge" data="sofia/internode/${to.slice(4)}@127.0.0.1:31101"/>`
    : `<action application="conference" data="${to}@room"/>`;
  return section(
    'dialplan',
    `<context name="any"><extension name="e"><condition><action application="answer"/>${app}</condition></extension></context>`,
  );
}

async function start(name: string, internode = 0): Promise<[SimulatedNode, RawClient]> {
  const xmlUrl = `${base}?host=127.0.0.1&internode=${internode}`;
  const times = { heartbeatMs: 5000, questionTimeoutMs: 60_000, bootTimeoutMs: 60_000 };
  const node = await startSimulatedNode({ name, xmlUrl, password: 'p', eslPort: 0, ...times, logger });
  nodes.push(node);
  const client = await connectRaw(node.eslPort);
  clients.push(client);
  await client.send('auth secret');
  await client.send('event json CHANNEL_DESTROY CUSTOM conference::maintenance');
  return [node, client];
}

const guestOf = (node: SimulatedNode, username = 'guest') =>
  node.addGuest({ username, realm: 'd.test', ha1: HA1, displayName: 'Zoë' });
const action = (name: string) => (e: RawEvent) => e.Action === name;

test('a guest dials without having registered, and is refused with another hash', async () => {
  const [node, client] = await start('guests');
  const call = await guestOf(node).dial('a', { talks: true, video: true });
  expect(await client.waitFor(action('add-member'))).toMatchObject({
    'Unique-ID': call.channelId,
    'Caller-Caller-ID-Name': 'Zoë',
    Video: 'true',
  });
  expect(await client.waitFor(action('start-talking'))).toMatchObject({ 'Unique-ID': call.channelId });
  call.talk(false);
  expect(await client.waitFor(action('stop-talking'))).toMatchObject({ Talking: 'false' });
  expect(node.rooms()).toEqual([{ name: 'a', channelIds: [call.channelId] }]);
  call.hangup();
  await client.waitFor(action('conference-destroy'));
  expect(node.rooms()).toEqual([]);
  await expect(node.addGuest({ username: 'guest', realm: 'd.test', ha1: 'f'.repeat(32) }).dial('a')).rejects.toThrow(
    'got 403',
  );
});

test('somebody at one node stands in the room of another, and leaves it when they hang up', async () => {
  const [one] = await start('one');
  const [two, client] = await start('two', 31_101);
  const call = await guestOf(one).dial('far-b', { talks: true });
  await client.waitFor(action('start-talking'));
  expect(two.rooms()[0]?.channelIds).toHaveLength(1);
  expect(one.rooms()).toEqual([]);
  call.hangup();
  await client.waitFor(action('conference-destroy'));
  await until('no channel is left', () => one.channelCount + two.channelCount === 0);
});

test('lost commands are answered +OK and not done', async () => {
  const [node, client] = await start('lossy');
  await guestOf(node).dial('a');
  const entered = await client.waitFor(action('add-member'));
  const mute = async (): Promise<string> => (await client.send(`api conference a mute ${entered['Member-ID']}`)).body;
  const speaks = async (): Promise<boolean> =>
    (
      JSON.parse((await client.send('api conference a json_list')).body) as {
        members: { flags: { can_speak: boolean } }[];
      }[]
    )[0]!.members[0]!.flags.can_speak;
  node.faults.loseCommands(1, /^conference a mute/);
  expect(await mute()).toMatch(/^\+OK/);
  expect(await speaks()).toBe(true);
  expect(await mute()).toBe(`+OK mute ${entered['Member-ID']}\n`);
  expect(await speaks()).toBe(false);
});

test('a recording that stalls stays as it is; a full disk ends it, and lets none begin', async () => {
  const [node, client] = await start('disk');
  await guestOf(node).dial('a');
  await client.waitFor(action('add-member'));
  const file = join(node.folder, 'recordings', 'a.wav');
  await client.send(`api conference a recording start ${file}`);
  await client.waitFor(action('start-recording'));
  const size = async (): Promise<number> => (await stat(file)).size;
  const grown = async (from: number): Promise<boolean> => {
    for (let i = 0; i < 20; i += 1) {
      await new Promise((done) => setTimeout(done, 50));
      if ((await size()) > from) return true;
    }
    return false;
  };
  await until('it grows', async () => (await size()) > 44);
  node.faults.stallRecordings();
  await new Promise((done) => setTimeout(done, 250));
  expect(await grown(await size())).toBe(false);
  node.faults.stallRecordings(false);
  node.faults.fillDisk();
  await client.waitFor(action('stop-recording'));
  await client.send(`api conference a recording start ${file}2`);
  await client.waitFor((e) => e.Action === 'start-recording' && e.Error === 'File could not be opened for recording');
  await node.kill();
  expect(await size()).toBeGreaterThan(44);
});

test('a stream to an address greets as a publisher does, and its end is told', async () => {
  const [node, client] = await start('relay');
  await guestOf(node).dial('a');
  await client.waitFor(action('add-member'));
  let greeting = 0;
  const target = createTcp((socket) => {
    socket.on('data', (bytes) => {
      greeting += bytes.length;
      if (greeting >= 1537) socket.destroy();
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => target.listen(0, '127.0.0.1', done));
  const url = `rtmp://127.0.0.1:${(target.address() as AddressInfo).port}/app/key`;
  expect((await client.send(`api conference a recording start ${url}`)).body).toBe(`+OK Record file ${url}\n`);
  await client.waitFor((e) => e.Action === 'stop-recording' && e.Path === url);
  expect(greeting).toBeGreaterThanOrEqual(1537);
  target.close();
});

test('a layer where there is no video ends the whole node, as it ends a real one', async () => {
  const [node, client] = await start('crash');
  await guestOf(node).dial('a');
  const entered = await client.waitFor(action('add-member'));
  void client.send(`api conference a vid-layer ${entered['Member-ID']} 1`).catch(() => undefined);
  await client.closed;
  expect(node.isRunning).toBe(false);
});

test('two hundred rooms with twenty members each stay cheap', async () => {
  const [node, client] = await start('many');
  const before = heapAfterCollection();
  // A few at a time: what is measured is the rooms, not how many questions a node can ask at once before one is too late.
  const AT_ONCE = 50;
  for (let i = 0; i < 4000; i += AT_ONCE) {
    const round = Array.from({ length: AT_ONCE }, (_, j) =>
      guestOf(node, `g${i + j}`)
        .dial(`room-${(i + j) % 200}`)
        .then((c) => c.answered),
    );
    await Promise.all(round);
  }
  await client.waitFor((e) => e.Action === 'add-member' && Number(e['Conference-Size']) === 20);
  const members = (): number => node.rooms().reduce((sum, r) => sum + r.channelIds.length, 0);
  await until('all are in', () => members() === 4000);
  expect(node.rooms().map((r) => r.channelIds.length)).toEqual(Array<number>(200).fill(20));
  expect((heapAfterCollection() - before) / 4000).toBeLessThan(60 * 1024);
}, 400_000);
