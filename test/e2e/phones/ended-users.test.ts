/** Whoever is disabled or deleted is out of rooms and calls within a second, and reached by nobody, wherever they are. */
import { useStores } from '../../stores';
import { DOMAIN, startApp, passwordOf, until, type Node, type App } from '../harness';

const stores = useStores();
/** A second; what a busy machine takes longer is added. */
const SOON_MS = 4000;
let app: App;
let one: Node;
let two: Node;

beforeAll(async () => {
  app = await startApp(stores);
  one = await app.addNode('one');
  two = await app.addNode('two');
});
afterAll(() => app?.close());

let count = 0;
const newName = (): string => `ended${(count += 1)}`;
const idOf = async (username: string): Promise<string> =>
  (await app.must(200, 'GET', `/v1/users?domain=${DOMAIN}&username=${username}`)).items[0].id;
const phonesOf = (username: string): string[] =>
  [one, two].flatMap((node) => node.phones().flatMap((phone) => (phone.username === username ? [username] : [])));
const eventsOf = async (query: string) =>
  (await app.must(200, 'GET', `/v1/events?format=json&limit=1000&domain=${DOMAIN}&${query}`)).items;

/** By the API, and how long it took until `test` was so. */
async function soon(what: string, test: () => Promise<unknown> | unknown): Promise<void> {
  const fromMs = Date.now();
  await until(what, test);
  expect(Date.now() - fromMs).toBeLessThan(SOON_MS);
}

const disable = (id: string) => app.must(200, 'PATCH', `/v1/users/${id}`, { enabled: false });
const remove = (id: string) => app.must(204, 'DELETE', `/v1/users/${id}`);

test.each([
  ['disabled', disable, 'user_disabled'],
  ['deleted', remove, 'user_deleted'],
] as const)(
  'who is %s is out of the room, by phone and by page, and the others are told why',
  async (_, end, reason) => {
    const username = newName();
    const other = newName();
    const phone = await app.addPhone(one, username, {});
    const stays = await app.addPhone(two, other, {});
    const userId = await idOf(username);
    const room = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: newName() });
    const grant = await app.must(201, 'POST', `/v1/rooms/${room.id}/grants`, { userId });
    const page = two.addGuest({ username: grant.username, realm: grant.realm, ha1: grant.ha1 });
    const calls = [phone.dial(room.name), await page.dial('room'), stays.dial(room.name)];
    for (const call of calls) expect(await call.answered).toBe(true);
    const people = async () => (await app.must(200, 'GET', `/v1/rooms/${room.id}/participants`)).items;
    await until(
      'all are in',
      async () => (await people()).filter((p: { state: string }) => p.state === 'in').length === 3,
    );
    await end(userId);
    await soon('only the other one is in', async () => {
      const here = (await people()).filter((p: { state: string }) => ['in', 'joining'].includes(p.state));
      return here.length === 1 && here[0].identity === `user:${other}`;
    });
    const left = await eventsOf(`roomId=${room.id}&types=participant.left`);
    expect(left.map((e: { data: { reason: string } }) => e.data.reason)).toEqual([reason, reason]);
    await soon('the node has let the phone go', () => phonesOf(username).length === 0);
    await expect(page.dial('room')).rejects.toThrow('403');
    const self = await fetch(`${app.url}/v1/grants/self`, { headers: { authorization: `Bearer ${grant.token}` } });
    expect(self.status).toBe(401);
    calls[2]!.hangup();
  },
);

test.each(['from', 'to'] as const)(
  'the call of who is disabled ends, and whoever they talked to hangs free (%s)',
  async (who) => {
    const [ann, ben] = [newName(), newName()];
    await app.addPhone(one, ann, { answerAfterMs: 10 });
    await app.addPhone(two, ben, { answerAfterMs: 10 });
    const { id } = await app.call(`user:${ann}`, `user:${ben}`);
    await app.callIs(id, 'answered');
    await disable(await idOf(who === 'from' ? ann : ben));
    await soon('the call has ended', async () => (await app.readCall(id)).state === 'ended');
    await soon('no channel is left', () => one.channelCount + two.channelCount === 0);
  },
);

test('who rings for somebody who is disabled at that moment rings no more', async () => {
  const [ann, ben] = [newName(), newName()];
  await app.addPhone(one, ann, { answerAfterMs: 10 });
  await app.addPhone(two, ben, { ringOnly: true });
  const { id } = await app.call(`user:${ann}`, `user:${ben}`);
  await until('it rings', async () =>
    (await app.readCall(id)).legs.some((l) => l.role === 'to' && l.state === 'ringing'),
  );
  await disable(await idOf(ben));
  await soon('the call has ended', async () => (await app.readCall(id)).state === 'ended');
  expect(['rejected', 'unreachable', 'failed']).toContain((await app.readCall(id)).outcome);
});

test('somebody of the same name in another domain is left alone', async () => {
  const name = newName();
  await app.must(201, 'POST', '/v1/domains', { name: 'namesake.test' });
  const namesake = await app.addUser(name, { domain: 'namesake.test' });
  const phone = await one.registerPhone({
    username: name,
    domain: 'namesake.test',
    password: passwordOf(name),
    behaviour: {},
  });
  await app.addPhone(one, name, {});
  const talk = phone.dial('9196');
  expect(await talk.answered).toBe(true);
  await disable(await idOf(name));
  await until('the one that is meant is let go', () => phonesOf(name).length === 1);
  const shown = await app.must(200, 'GET', `/v1/users/${namesake}`);
  expect(shown.registrations).toHaveLength(1);
  expect(one.channelCount).toBe(1);
  talk.hangup();
  await until('nobody talks', () => one.channelCount === 0);
});

test('a node that was away is told when it is back, and who was enabled again goes on', async () => {
  const [gone, back] = [newName(), newName()];
  const [first, second] = [await app.addPhone(two, gone, {}), await app.addPhone(two, back, {})];
  const talks = [first.dial('9196'), second.dial('9196')];
  for (const talk of talks) expect(await talk.answered).toBe(true);
  two.faults.freeze();
  await app.nodeIs(two, 'down');
  const ids = [await idOf(gone), await idOf(back)];
  for (const id of ids) await disable(id);
  await app.must(200, 'PATCH', `/v1/users/${ids[1]!}`, { enabled: true });
  // Past the time in which nodes that are up are told again.
  await new Promise((resolve) => setTimeout(resolve, 3500));
  two.faults.thaw();
  await app.nodeIs(two, 'serving');
  await until('only the one who may is left', () => two.channelCount === 1);
  expect(phonesOf(gone)).toEqual([]);
  expect(await Promise.race([talks[0]!.ended, Promise.resolve('goes on')])).not.toBe('goes on');
  talks[1]!.hangup();
});

test('a new password lets go whoever registered with the old one, and nobody who talks', async () => {
  const name = newName();
  const phone = await app.addPhone(one, name, {});
  const talk = phone.dial('9196');
  expect(await talk.answered).toBe(true);
  const id = await idOf(name);
  await app.must(200, 'PATCH', `/v1/users/${id}`, { password: 'quite another 7 secret' });
  await soon('the phone is let go', () => phonesOf(name).length === 0);
  expect((await app.must(200, 'GET', `/v1/users/${id}`)).registrations).toEqual([]);
  expect(one.channelCount).toBe(1);
  talk.hangup();
});

test('with its domain a phone goes, and the stream of a page ends', async () => {
  const { name: domain } = await app.must(201, 'POST', '/v1/domains', { name: 'leaving.test' });
  const userId = await app.addUser('dora', { domain });
  await one.registerPhone({ username: 'dora', domain, password: passwordOf('dora'), behaviour: {} });
  await until(
    'she is registered',
    async () => (await app.must(200, 'GET', `/v1/users/${userId}`)).registrations.length,
  );
  const grant = await app.must(201, 'POST', `/v1/users/${userId}/grants`, {});
  const stream = await fetch(`${app.url}/v1/events`, { headers: { authorization: `Bearer ${grant.token}` } });
  expect(stream.status).toBe(200);
  await app.must(204, 'DELETE', `/v1/domains/${domain}`);
  await soon('her phone is let go', () => phonesOf('dora').length === 0);
  await stream.text();
});
