/** A node that drains gives its phones up: pages are told at once, telephones at their next word, and nobody is lost. */
import { followEvents } from '../follow-events';
import { useStores } from '../../stores';
import { DOMAIN, startApp, passwordOf, until, type Node, type App } from '../harness';

let app: App;
let one: Node;
let two: Node;
afterAll(() => app?.close());
const stores = useStores();

beforeAll(async () => {
  app = await startApp(stores);
  [one, two] = [await app.addNode('one'), await app.addNode('two')];
});
afterEach(async () => {
  for (const node of [one, two]) {
    await app.api('POST', `/v1/nodes/${node.id}/resume`);
    await turnsAway(node, false);
  }
});

const drain = (node: Node, extra: object = {}) => app.must(200, 'POST', `/v1/nodes/${node.id}/drain`, extra);
const turnsAway = (node: Node, wanted = true) =>
  until(`${node.name} ${wanted ? 'turns phones away' : 'takes phones'}`, async () => {
    const { refusesPhones } = await app.must(200, 'GET', `/v1/nodes/${node.id}`);
    return refusesPhones === wanted;
  });
const registrationsOf = async (username: string): Promise<{ node: string; contact: string }[]> =>
  (await app.must(200, 'GET', `/v1/users?username=${username}&domain=${DOMAIN}`)).items[0].registrations;
const logIn = (node: Node, username: string) =>
  node.registerPhone({ username, domain: DOMAIN, password: passwordOf(username), expiresSeconds: 3600 });

test('a page at a draining node is told to move, and is sent to a node that serves', async () => {
  const userId = await app.addUser('page');
  const grant = await app.must(201, 'POST', `/v1/users/${userId}/grants`, {});
  const at = grant.node === 'one' ? one : two;
  const { username, realm: domain, ha1 } = grant;
  await at.registerPhone({ username, domain, ha1, transport: 'ws' });
  await until('the page is registered', async () => (await registrationsOf('page')).length === 1);
  const events = followEvents(app.url, grant.token, 'registration.move_requested');
  try {
    await until('its stream is open', () => events.isOpen());
    const beganMs = Date.now();
    await drain(at);
    const told = await until('the page is told', () => events.got[0]);
    process.stdout.write(`  told after ${Date.now() - beganMs} ms\n`);
    expect(told).toMatchObject({
      type: 'registration.move_requested',
      data: { grantId: grant.id, node: at.name, reason: 'drain', transport: 'ws' },
    });
    const answer = await fetch(`${app.url}/v1/grants/self`, { headers: { authorization: `Bearer ${grant.token}` } });
    const self = (await answer.json()) as { node: string };
    const other = at === one ? two : one;
    expect(self.node).toBe(other.name);
    // Until it is there it is rung where it is; then at its new node only.
    await other.registerPhone({ username, domain, ha1, transport: 'ws', behaviour: { answerAfterMs: 10 } });
    await until('it is at both', async () => (await registrationsOf('page')).length === 2);
    const call = await app.call('user:page', '9196');
    const answered = await app.callIs(call.id, 'answered');
    expect(answered.legs.map((leg) => leg.node)).toEqual([other.name]);
    await app.hangUp(call.id);
    // Once, however often the node is looked at.
    expect(events.got).toHaveLength(1);
  } finally {
    events.close();
  }
});

test('a telephone at a draining node is refused with 503, is rung until it has moved, and moves', async () => {
  await app.addPhone(two, 'caller', { answerAfterMs: 10 });
  const phone = await app.addPhone(one, 'desk', { answerAfterMs: 10 });
  await drain(one);
  await turnsAway(one);
  expect(await until('it is refused', async () => ((await phone.refresh()) === 503 ? 503 : undefined))).toBe(503);
  expect(await phone.dial('9196').ended).toBe('NORMAL_TEMPORARY_FAILURE');
  // A patient must reach a doctor: it has no other contact yet.
  const before = await app.call('user:caller', 'user:desk');
  const reached = await app.callIs(before.id, 'answered');
  expect(new Set(reached.legs.map((leg) => leg.node))).toEqual(new Set(['one', 'two']));
  await app.hangUp(before.id);
  await app.callIs(before.id, 'ended');

  await logIn(two, 'desk'); // by SRV, as baresip does it
  await until('it is at both', async () => (await registrationsOf('desk')).length === 2);
  await stores
    .db('registrations')
    .where({ user_id: await idOf('desk') })
    .update({ contact: 'sip:desk@10.0.0.4:5060' });
  const dialString = await askWay('desk');
  expect(dialString).toContain('sofia/internal/');
  expect(dialString).not.toContain('internode');
});

const idOf = async (username: string): Promise<string> =>
  (await app.must(200, 'GET', `/v1/users?username=${username}&domain=${DOMAIN}`)).items[0].id;
const askWay = async (username: string): Promise<string> => {
  const form = { section: 'directory', tag_name: 'domain', key_name: 'name', key_value: DOMAIN, action: 'user_call' };
  const { text } = await app.askXml(two, { ...form, user: username, domain: DOMAIN, hostname: 'two' });
  return /dial-string" value="([^"]*)"/.exec(text)?.[1] ?? text;
};

test('a telephone that registers at a node which is to drain does so for a minute, and not for an hour', async () => {
  const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'daily' });
  const grant = await app.must(201, 'POST', `/v1/rooms/${room.id}/grants`, {});
  const at = grant.node === 'one' ? one : two;
  const guest = at.addGuest({ username: grant.username, realm: grant.realm, ha1: grant.ha1 });
  const talk = await guest.dial('room');
  expect(await talk.answered).toBe(true);
  const phone = await app.addPhone(at, 'minute');
  await drain(at);
  // A room is on it: its guests come by the same door, which stays open.
  await until('for a minute', async () => {
    expect(await phone.refresh(3600)).toBe(200);
    const [row] = await stores.db('registrations').where({ user_id: await idOf('minute') });
    return row && row.expires_at.getTime() - row.refreshed_at.getTime() <= 120_000; // with the grace of a minute
  });
  expect((await app.must(200, 'GET', `/v1/nodes/${at.id}`)).refusesPhones).toBe(false);
  const second = await app.must(201, 'POST', `/v1/rooms/${room.id}/grants`, {});
  const late = await at.addGuest({ username: second.username, realm: second.realm, ha1: second.ha1 }).dial('room');
  expect(await late.answered).toBe(true);
  talk.hangup();
  late.hangup();
  await turnsAway(at); // with its last room
});

test('the last node that serves keeps its phones, and so does one that is drained with its phones kept', async () => {
  const phone = await app.addPhone(one, 'loyal');
  await drain(one, { phones: 'keep' });
  await drain(two);
  await until('two looks went by', async () => {
    await new Promise((resolve) => setTimeout(resolve, 2500));
    return true;
  });
  expect(await phone.refresh(3600)).toBe(200);
  expect((await app.must(200, 'GET', `/v1/nodes/${two.id}`)).refusesPhones).toBe(false); // nobody else serves
  const own = await app.must(200, 'POST', `/v1/nodes/${one.id}/resume`);
  expect(own.state).toBe('serving');
  await turnsAway(two); // now there is one
});

test('a node that is empty but for a phone is not removed unless that is forced', async () => {
  const three = await app.addNode('three');
  await app.addPhone(three, 'left');
  await drain(three);
  const refused = await app.api('DELETE', `/v1/nodes/${three.id}`);
  expect(refused.body).toMatchObject({
    status: 409,
    code: 'conflict',
    detail: 'Node three is empty but for 1 phone: wait until they have moved, or remove it with force=true.',
  });
  const { nodes } = await app.must(200, 'GET', '/v1/pool');
  expect(nodes.find((node: { name: string }) => node.name === 'three')).toMatchObject({
    registrations: 1,
    liveCalls: 0,
  });
  expect((await app.api('DELETE', `/v1/nodes/${three.id}?force=yes`)).status).toBe(400);
  expect((await app.api('DELETE', `/v1/nodes/${three.id}?force=true`)).status).toBe(204);
});
