/** A node that is broken into says whatever it likes, with its own good password: of other nodes' calls nothing is believed. */
import { randomUUID } from 'node:crypto';
import { connectRaw } from '../../contract/peers/raw-client';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let one: Node;
let two: Node;

beforeAll(async () => {
  app = await startApp(stores);
  [one, two] = [await app.addNode('one'), await app.addNode('two')];
  await app.addPhone(one, 'ann', { ringOnly: true });
  await app.addPhone(one, 'bob', { answerAfterMs: 20 });
  await app.addPhone(one, 'cy', { answerAfterMs: 20 });
});

const us = (ms: number): string => String(Math.round(ms * 1000));
const refusedOf = async (about: string): Promise<number> => {
  const text = await (await fetch(`${app.operationsUrl}/metrics`)).text();
  return Number(new RegExp(`node_reports_refused_total\\{about="${about}"\\} (\\d+)`).exec(text)?.[1]);
};

/** What only the nodes know: the API shows a leg's hash. */
const legOf = async (callId: string): Promise<string> =>
  (await stores.db('call_attempts').where({ call_id: callId }).first()).leg_id as string;

/** A call that rings at node one for as long as the test needs. */
async function ringing() {
  const { id } = await app.call('user:ann', '9196', { ringTimeoutSeconds: 300 });
  await app.callIs(id, 'ringing');
  return { id, leg: await legOf(id) };
}

async function over(id: string): Promise<void> {
  await app.hangUp(id);
  await app.callIs(id, 'ended');
}

test("another node's record of a leg is refused, and the true one still counts", async () => {
  const { id, leg } = await ringing();
  const before = await refusedOf('record');
  const lie = { answer_uepoch: '1', bridge_uepoch: '1000000', end_uepoch: us(Date.now()) };
  const record = { variables: { uuid: leg, switchyard_call_id: id, hangup_cause: 'NORMAL_CLEARING', ...lie } };
  expect(await app.sendCdr(two, JSON.stringify(record))).toEqual({ status: 200, text: 'refused\n' });
  expect(await app.readCall(id)).toMatchObject({ state: 'ringing', answeredAt: null });
  expect(await refusedOf('record')).toBe(before + 1);
  expect(app.lines.join('')).toContain('a node reported what is not its own');
  await app.hangUp(id);
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome: 'cancelled', talkSeconds: null });
  await until("the node's own record is kept", async () => {
    const rows = (await stores.db('cdrs').where({ leg_id: leg })) as { node_id: string }[];
    return rows.length === 1 && rows[0]!.node_id === one.id;
  });
});

test('of its records of no call a hundred are kept and no long one; the rest are counted, and it does not send them again', async () => {
  const flooder = await app.addNode('flooder');
  const before = await refusedOf('record');
  const send = (more: Record<string, string>) =>
    app.sendCdr(flooder, JSON.stringify({ variables: { uuid: randomUUID(), ...more } }));
  expect(await send({ name: 'x'.repeat(70_000) })).toEqual({ status: 200, text: 'refused\n' });
  const answers = [];
  // One of a call that never was is as little of a call as one that names none.
  for (let i = 0; i < 110; i += 1) answers.push(await send(i % 2 ? {} : { switchyard_call_id: randomUUID() }));
  expect(answers.map(({ status }) => status)).toEqual(Array(110).fill(200));
  expect(answers.filter(({ text }) => text === 'refused\n')).toHaveLength(10);
  expect(await stores.db('cdrs').where({ node_id: flooder.id })).toHaveLength(100);
  expect(await refusedOf('record')).toBe(before + 11);
  // Another node's are kept as before.
  expect((await app.sendCdr(one, JSON.stringify({ variables: { uuid: randomUUID() } }))).text).toBe('kept\n');
});

test('its own record talks no longer than the call has lasted', async () => {
  const { id } = await app.call('user:bob', '9196');
  const call = await app.callIs(id, 'answered');
  const lie = { answer_uepoch: '1', bridge_uepoch: '1000000', end_uepoch: us(Date.now() + 86_400_000) };
  const variables = { uuid: await legOf(id), hangup_cause: 'NORMAL_CLEARING', ...lie };
  const before = await refusedOf('time');
  expect((await app.sendCdr(one, JSON.stringify({ variables }))).text).toBe('kept\n');
  const ended = await app.callIs(id, 'ended');
  const lasted = (Date.now() - Date.parse(call.queuedAt!)) / 1000;
  expect(ended.talkSeconds).toBeLessThanOrEqual(lasted);
  expect(Date.parse(ended.answeredAt!)).toBeGreaterThanOrEqual(Date.parse(call.queuedAt!));
  expect(Date.parse(ended.endedAt!)).toBeLessThanOrEqual(Date.now());
  expect(await refusedOf('time')).toBe(before + 1);
});

test('its events of a leg of another node, and of new legs in a call it has nothing to do with, change nothing', async () => {
  const { id, leg } = await ringing();
  const [legsBefore, newBefore] = [await refusedOf('leg'), await refusedOf('new_leg')];
  // A broken node says of channels what it likes; a simulated one says it of those it makes.
  const ear = await connectRaw(two.eslPort);
  await ear.send(`auth ${two.eslPassword}`);
  for (const uuid of [leg, randomUUID()]) {
    const variables = `origination_uuid=${uuid},switchyard_call_id=${id},switchyard_leg=to,accountcode=${id}`;
    await ear.send(`bgapi originate {${variables}}loopback/9196/users &park`);
  }
  await until('both were refused', async () => {
    return (await refusedOf('leg')) > legsBefore && (await refusedOf('new_leg')) > newBefore;
  });
  const call = await app.readCall(id);
  expect(call).toMatchObject({ state: 'ringing', answeredAt: null });
  expect(call.legs).toHaveLength(1);
  await ear.send('api hupall');
  ear.close();
  await over(id);
});

const dialplan = (legId: string, context: string, destination: string, more: Record<string, string> = {}) => ({
  section: 'dialplan',
  'Unique-ID': legId,
  'Caller-Context': context,
  'Caller-Destination-Number': destination,
  ...more,
});

test('it gets no plan of a call that another node places, whichever channel it names', async () => {
  const { id, leg } = await ringing();
  for (const legId of [leg, randomUUID()]) {
    const asked = await app.askXml(two, dialplan(legId, 'calls', '9196', { variable_switchyard_call_id: id }));
    expect(asked.text).toContain('OUTGOING_CALL_BARRED');
    expect(asked.text).not.toContain('application="echo"');
  }
  expect(await legOf(id)).toBe(leg);
  const phone = { variable_sip_authorized: 'true', variable_user_name: 'bob', variable_domain_name: DOMAIN };
  const asked = await app.askXml(two, dialplan(leg, 'users', '9196', phone));
  expect(asked.text).toContain('No login by that name on this node');
  // Also where bob has logged in at it: the leg is another's.
  await app.askXml(two, loginQuestion({ username: 'bob' }));
  expect((await app.askXml(two, dialplan(leg, 'users', '9196', phone))).status).toBe(403);
  await over(id);
});

test('it gets the digest of nobody who has not just proved their password there, also not of one it had before', async () => {
  const given = async (o: { username: string; password?: string }, without: string[] = []): Promise<boolean> => {
    const question = loginQuestion(o);
    for (const field of without) delete question[field];
    return (await app.askXml(two, question)).text.includes('a1-hash');
  };
  for (const username of ['ann', 'bob']) {
    expect(await given({ username, password: 'a guess' })).toBe(false);
    expect(await given({ username }, ['sip_auth_response'])).toBe(false);
    expect(await given({ username }, ['sip_auth_nonce'])).toBe(false);
    expect(await given({ username })).toBe(true);
    expect(await given({ username, password: 'a guess' })).toBe(false);
  }
});

test('it gets the way to nobody whom no call of its own is for', async () => {
  const { id } = await ringing();
  const ask = (node: Node, user: string, more: Record<string, string>) =>
    app.askXml(node, { section: 'directory', action: 'user_call', user, domain: DOMAIN, ...more });
  const before = await refusedOf('user_call');
  expect((await ask(two, 'ann', { switchyard_call_id: id })).text).toContain('error/user_not_registered');
  expect((await ask(two, 'ann', { switchyard_call_id: randomUUID() })).text).toContain('error/user_not_registered');
  expect((await ask(one, 'bob', { switchyard_call_id: id })).text).not.toContain('Token');
  expect(await refusedOf('user_call')).toBe(before + 3);
  expect((await ask(one, 'ann', { switchyard_call_id: id })).text).toContain('sofia/internal/');
  // By hand, without a call: only who is registered at the node itself.
  expect((await ask(one, 'cy', {})).text).toContain('sofia/internal/');
  expect((await ask(two, 'cy', {})).text).toContain('error/user_not_registered');
  // The way is all there is to know: a call needs nobody's digest.
  for (const user of ['ann', 'bob', 'cy'])
    for (const asked of [await ask(two, user, {}), await ask(one, user, { switchyard_call_id: id })]) {
      expect(asked.text).toContain('dial-string');
      expect(asked.text).not.toMatch(/a1-hash|="[0-9a-f]{32}"/i);
    }
  await over(id);
});

test('what brings a call to another node brings one channel, and lets that node speak of the call', async () => {
  await app.addPhone(two, 'dora', { ringOnly: true });
  const { id } = await app.call('user:bob', 'user:dora');
  const call = await app.callIs(id, 'ringing');
  await until('the second node has told of its legs', async () => {
    const nodes = (await app.readCall(id)).legs.map((leg) => leg.node);
    return nodes.filter((name) => name === 'two').length === 2;
  });
  const way = await app.askXml(one, {
    section: 'directory',
    action: 'user_call',
    user: 'dora',
    domain: DOMAIN,
    switchyard_call_id: id,
  });
  const token = /X-Switchyard-Token=([^,\]]+)/.exec(way.text)![1]!;
  const bring = (node: Node, legId: string) =>
    app.askXml(
      node,
      dialplan(legId, 'internode', 'dora', {
        variable_sofia_profile_name: 'internode',
        'variable_sip_h_X-Switchyard-Token': token,
      }),
    );
  const [first, second] = [randomUUID(), randomUUID()];
  expect((await bring(one, first)).text).toContain('OUTGOING_CALL_BARRED'); // it names the other node
  const before = await refusedOf('token');
  for (const _again of [1, 2]) expect((await bring(two, first)).text).toContain('application="bridge"');
  expect((await bring(two, second)).text).toContain('OUTGOING_CALL_BARRED');
  expect(await refusedOf('token')).toBe(before + 1);
  expect(call.state).toBe('ringing');
  await over(id);
});

test('a channel enters no room by the ids of somebody in it, and a room is left only by what its own node says', async () => {
  const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'closed', pin: '4711' });
  const { id } = await app.call('user:bob', 'room:closed');
  await app.callIs(id, 'answered');
  const people = async () => (await app.must(200, 'GET', `/v1/rooms/${room.id}/participants`)).items;
  const [person] = await until('bob is in', async () => {
    const inside = await people();
    return inside[0]?.state === 'in' ? inside : undefined;
  });
  const before = await refusedOf('ticket');
  for (const node of [one, two]) {
    for (const destination of [person.id, `${person.id}.${room.id}`, `ticket-${'0'.repeat(32)}`]) {
      const asked = await app.askXml(node, dialplan(randomUUID(), 'rooms', destination));
      expect(asked.text).toContain('OUTGOING_CALL_BARRED');
      expect(asked.text).not.toContain('application="conference"');
    }
  }
  expect(await refusedOf('ticket')).toBe(before + 6);
  expect(await people()).toMatchObject([{ id: person.id, state: 'in' }]);
  await over(id);
});
