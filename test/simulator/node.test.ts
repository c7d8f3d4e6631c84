/** Simulated nodes fail on demand, call each other, and are many in one process. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { findFreePort } from '../../scripts/stores/ports';
import { createLogger } from '../../src/infra/logger';
import { startSimulatedNode, type SimulatedNode } from '../../scripts/simulator/node';
import { connectRaw } from '../contract/peers/raw-client';
import { until } from '../until';
import { heapAfterCollection } from './heap';

const logger = createLogger('silent');
const NOT_FOUND =
  '<document type="freeswitch/xml"><section name="result"><result status="not found"/></section></document>';
const section = (name: string, inner: string): string =>
  `<document type="freeswitch/xml"><section name="${name}">${inner}</section></document>`;

let server: Server;
let base = '';
const nodes: SimulatedNode[] = [];
/** user → dial string */
const dialStrings = new Map<string, string>();

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
  await Promise.all(nodes.splice(0).map((n) => n.kill()));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

function answer(form: Record<string, string>): string {
  const { user = '', domain = '' } = form;
  if (form.key_value === 'event_socket.conf')
    return section(
      'configuration',
      '<configuration name="event_socket.conf"><settings><param name="password" value="secret"/></settings></configuration>',
    );
  if (form.section === 'directory' && user)
    return section(
      'directory',
      `<domain name="${domain}"><user id="${user}"><params><param name="password" value="pw"/><param name="dial-string" value="${dialStrings.get(user) ?? `\${sofia_contact(internal/${user}@${domain})}`}"/></params></user></domain>`,
    );
  if (form.section === 'dialplan')
    return section(
      'dialplan',
      `<context name="${form['Caller-Context']}"><extension name="e"><condition><action application="set" data="hangup_after_bridge=true"/><action application="bridge" data="\${sofia_contact(internal/${form['Caller-Destination-Number']}@d.test)}"/></condition></extension></context>`,
    );
  return NOT_FOUND;
}

async function start(name: string, internode = 0, eslPort = 0): Promise<SimulatedNode> {
  const xmlUrl = `${base}?host=127.0.0.1&internode=${internode}`;
  const times = { heartbeatMs: 50, questionTimeoutMs: 60_000, bootTimeoutMs: 60_000 };
  const node = await startSimulatedNode({ name, xmlUrl, password: 'p', eslPort, ...times, logger });
  nodes.push(node);
  return node;
}

async function listen(node: SimulatedNode): Promise<Awaited<ReturnType<typeof connectRaw>>> {
  const client = await connectRaw(node.eslPort);
  await client.send('auth secret');
  await client.send('event json HEARTBEAT BACKGROUND_JOB CHANNEL_CREATE CHANNEL_BRIDGE CHANNEL_DESTROY');
  return client;
}

test('frozen: sockets stay open and nothing comes; thawed: the answer comes', async () => {
  const node = await start('frozen');
  const client = await listen(node);
  node.faults.freeze();
  let answered = false;
  const answer = client.send('api echo alive').then((a) => {
    answered = true;
    return a.body;
  });
  await new Promise((done) => setTimeout(done, 150));
  expect(answered).toBe(false);
  node.faults.thaw();
  expect(await answer).toBe('alive');
  client.close();
});

test('dropped, silent, refusing, late', async () => {
  const node = await start('faulty');
  const first = await listen(node);
  node.faults.drop();
  await first.closed;
  const client = await listen(node);
  node.faults.refuse(1, 'SWITCH_CONGESTION');
  expect(await client.job('originate error/user_busy 1 XML users', 'a')).toBe('-ERR SWITCH_CONGESTION\n');
  expect(await client.job('originate error/user_busy 1 XML users', 'b')).toBe('-ERR USER_BUSY\n');
  node.faults.delayReplies(100);
  const from = Date.now();
  await client.send('api echo x');
  expect(Date.now() - from).toBeGreaterThanOrEqual(95);
  node.faults.silenceHeartbeats();
  await client.send('api echo x'); // behind all that was told before
  const beats = (): number => client.events.filter((e) => e['Event-Name'] === 'HEARTBEAT').length;
  const before = beats();
  await new Promise((done) => setTimeout(done, 150));
  expect(beats()).toBe(before);
  client.close();
});

test('killed and started again: another Core-UUID, and of before only the phones in its own database', async () => {
  const node = await start('mortal', 0, await findFreePort()); // one that nobody is given while it is dead
  const { id } = await node.registerPhone({ username: '1', domain: 'd.test', password: 'pw' });
  const client = await listen(node);
  const [port, uuid] = [node.eslPort, node.coreUuid];
  await node.kill();
  await client.closed;
  await expect(connectRaw(port).then((c) => c.closed)).rejects.toThrow();
  await node.restart();
  expect(node.coreUuid).not.toBe(uuid);
  expect(node.phones().map((phone) => phone.id)).toEqual([id]);
});

test('a wrong password is refused by what the directory says', async () => {
  const node = await start('guarded');
  await expect(node.registerPhone({ username: '1', domain: 'd.test', password: 'no' })).rejects.toThrow('got 403');
});

test('a phone dials another; a call to a user of another node reaches it there', async () => {
  const [one, two] = [await start('one', 31_001), await start('two', 31_002)];
  const caller = await one.registerPhone({ username: '1', domain: 'd.test', password: 'pw' });
  await one.registerPhone({ username: '2', domain: 'd.test', password: 'pw', behaviour: { answerAfterMs: 5 } });
  await two.registerPhone({
    username: '3',
    domain: 'd.test',
    password: 'pw',
    behaviour: { answerAfterMs: 5, hangupAfterMs: 50 },
  });
  const call = caller.dial('2');
  expect(await call.answered).toBe(true);
  call.hangup();
  expect(await call.ended).toBe('NORMAL_CLEARING');
  expect(await caller.dial('9').ended).toBe('USER_NOT_REGISTERED');
  dialStrings.set('3', '[sip_h_X-Switchyard-Call=c1]sofia/internode/3@127.0.0.1:31002');
  const [here, there] = [await listen(one), await listen(two)];
  expect(await here.job('originate {origination_uuid=leg-x}user/3@d.test &park()', 'j')).toBe('+OK leg-x\n');
  const arrived = await there.waitFor((e) => e['Event-Name'] === 'CHANNEL_CREATE');
  expect(arrived).toMatchObject({ 'Call-Direction': 'inbound', 'variable_sip_h_X-Switchyard-Call': 'c1' });
  await here.waitFor((e) => e['Event-Name'] === 'CHANNEL_DESTROY' && e['Unique-ID'] === 'leg-x');
  await until('no channel is left', () => one.channelCount + two.channelCount === 0);
  here.close();
  there.close();
});

test('a hundred nodes start together and cost little', async () => {
  const before = heapAfterCollection();
  await Promise.all(Array.from({ length: 100 }, (_, i) => start(`many-${i}`)));
  expect((heapAfterCollection() - before) / 100).toBeLessThan(400 * 1024);
  expect(new Set(nodes.map((n) => n.eslPort)).size).toBe(100);
});
