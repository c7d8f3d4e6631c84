/** Phones that are gone, come back, start anew or change their socket, as everybody's do: who is rung, how often, and what is told. */
import type { SimulatedPhone } from '../../../scripts/simulator/node';
import { useStores } from '../../stores';
import { DOMAIN, startApp, passwordOf, until, type Node, type App } from '../harness';

const stores = useStores();
let app: App;
let one: Node;
let two: Node;
let round = 0;
const name = (who: string): string => `${who}-${round}`;

beforeAll(async () => {
  app = await startApp(stores);
  [one, two] = [await app.addNode('one'), await app.addNode('two')];
});
afterAll(() => app.close());
beforeEach(() => (round += 1));

interface Known {
  id: string;
  node: string;
  contact: string;
}
const phonesOf = async (username: string): Promise<Known[]> =>
  (await app.must(200, 'GET', `/v1/users?username=${username}&domain=${DOMAIN}`)).items[0].registrations;
const phonesAre = (username: string, count: number): Promise<Known[]> =>
  until(`${username} has ${count} phones`, async () => {
    const phones = await phonesOf(username);
    return phones.length === count ? phones : undefined;
  });

async function tellsOf(username: string): Promise<string[]> {
  const [{ id }] = (await app.must(200, 'GET', `/v1/users?username=${username}&domain=${DOMAIN}`)).items;
  const { items } = await app.must(
    200,
    'GET',
    `/v1/events?format=json&limit=1000&domain=${DOMAIN}&types=registration.*`,
  );
  return items
    .filter((e: { userId?: string }) => e.userId === id)
    .map((e: { type: string; data: { reason?: string } }) => [e.type, e.data.reason].filter(Boolean).join(' '));
}

test('all phones of the one who is rung are dead: one attempt, they are told to be gone, and the next call rings nobody', async () => {
  await app.addPhone(one, name('ann'), { gone: 'refused' });
  await app.addPhone(two, name('ann'), { gone: 'refused' });
  await app.addPhone(two, name('bob'));
  const countPhones = async (): Promise<number> =>
    (await app.must(200, 'GET', '/v1/pool')).nodes.reduce(
      (sum: number, node: { registrations: number }) => sum + node.registrations,
      0,
    );
  const before = await countPhones();
  const { id } = await app.call(`user:${name('ann')}`, `user:${name('bob')}`);
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome: 'unreachable', hangupCause: 'NORMAL_TEMPORARY_FAILURE' });
  expect(ended.attempts).toHaveLength(1);
  await phonesAre(name('ann'), 0);
  await until('the pool counts the two no longer', async () => (await countPhones()) === before - 2);
  expect((await tellsOf(name('ann'))).filter((told) => told.endsWith('unreachable'))).toHaveLength(2);
  const again = await app.callIs((await app.call(`user:${name('ann')}`, `user:${name('bob')}`)).id, 'ended');
  expect(again).toMatchObject({ outcome: 'unreachable', hangupCause: 'USER_NOT_REGISTERED' });
  expect(again.attempts).toHaveLength(1);
  // Whoever lets them go afterwards does not tell of their end once more.
  const [{ id: userId }] = (await app.must(200, 'GET', `/v1/users?username=${name('ann')}&domain=${DOMAIN}`)).items;
  await app.must(200, 'PATCH', `/v1/users/${userId}`, { enabled: false });
  await until(
    'the phones are gone',
    async () => (await stores.db('registrations').where({ user_id: userId })).length === 0,
  );
  expect((await tellsOf(name('ann'))).filter((told) => told.startsWith('registration.ended'))).toHaveLength(2);
});

test("the callee's phone is dead: the caller's one hears so at once, and the call names it unreachable", async () => {
  await app.addPhone(one, name('ann'), { answerAfterMs: 20 });
  await app.addPhone(two, name('bob'), { gone: 'refused' });
  const { id } = await app.call(`user:${name('ann')}`, `user:${name('bob')}`);
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome: 'unreachable', hangupCause: 'NORMAL_TEMPORARY_FAILURE' });
  expect(ended.attempts).toHaveLength(1);
  await phonesAre(name('bob'), 0);
  await phonesAre(name('ann'), 1);
});

test.each([400, 480, 500, 502, 503])(
  'a phone that says %d itself is there: one attempt, and it is rung again',
  async (status) => {
    await app.addPhone(one, name('ann'), { status });
    const { id } = await app.call(`user:${name('ann')}`, '9196');
    expect((await app.callIs(id, 'ended')).attempts).toHaveLength(1);
    await phonesAre(name('ann'), 1);
    expect(await tellsOf(name('ann'))).toEqual(['registration.created']);
  },
);

test('a dead phone is rung again as soon as it has registered anew, with its old Call-ID too, and that is told', async () => {
  const phone = await app.addPhone(one, name('ann'), { gone: 'refused' });
  await app.callIs((await app.call(`user:${name('ann')}`, '9196')).id, 'ended');
  await phonesAre(name('ann'), 0);
  phone.behave({ answerAfterMs: 20 });
  expect(await phone.refresh(300)).toBe(200);
  await phonesAre(name('ann'), 1);
  const { id } = await app.call(`user:${name('ann')}`, '9196');
  await app.callIs(id, 'answered');
  await app.hangUp(id);
  expect(await tellsOf(name('ann'))).toEqual([
    'registration.created',
    'registration.ended unreachable',
    'registration.created',
  ]);
});

test('one of two phones is dead: the other one is reached, and only the dead one is given up', async () => {
  await app.addPhone(one, name('ann'), { gone: 'refused' });
  await app.addPhone(two, name('ann'), { answerAfterMs: 300 });
  const { id } = await app.call(`user:${name('ann')}`, '9196');
  expect((await app.callIs(id, 'answered')).attempts).toHaveLength(1);
  await app.hangUp(id);
  expect((await phonesAre(name('ann'), 1))[0]).toMatchObject({ node: 'two' });
});

describe('a browser that changes its socket, with the same Call-ID', () => {
  const contact = 'sip:k3k@9a8b7c.invalid;transport=ws';
  const open = async (): Promise<SimulatedPhone> => {
    await app.addUser(name('ann'));
    const login = { username: name('ann'), domain: DOMAIN, password: passwordOf(name('ann')) };
    const page = await until('it registers', () =>
      one.registerPhone({ ...login, transport: 'ws', contact, expiresSeconds: 300 }).catch(() => undefined),
    );
    await phonesAre(name('ann'), 1);
    return page;
  };

  test("stays when the old one's end is told afterwards, and after a comparison with the node's list", async () => {
    const page = await open();
    const [before] = await phonesOf(name('ann'));
    const closeOld = await page.moveSocket();
    await until(
      'it is known by its new socket',
      async () => (await phonesOf(name('ann')))[0]?.contact !== before!.contact,
    );
    closeOld();
    one.faults.drop(); // what was told before is taken in before the comparison after it
    await until('the node is compared', async () => {
      const told = (await app.api('GET', `/v1/nodes/${one.id}`)).body.state;
      return told === 'serving';
    });
    await new Promise((done) => setTimeout(done, 2000)); // longer than the node is given to correct its list
    expect(await phonesOf(name('ann'))).toHaveLength(1);
    expect(await tellsOf(name('ann'))).toEqual(['registration.created']);
    page.behave({ answerAfterMs: 20 });
    const { id } = await app.call(`user:${name('ann')}`, '9196');
    await app.callIs(id, 'answered');
    await app.hangUp(id);
  });

  test('is gone when the new one closes as well', async () => {
    const page = await open();
    const closeOld = await page.moveSocket();
    closeOld();
    page.closeSocket();
    await phonesAre(name('ann'), 0);
  });
});

test('a phone that starts anew, at its node or at another, is one phone and is rung once', async () => {
  await app.addUser(name('ann'));
  const contact = `sip:${name('ann')}@192.0.2.7:5062`;
  const login = { username: name('ann'), domain: DOMAIN, password: passwordOf(name('ann')), expiresSeconds: 300 };
  const start = (node: Node): Promise<SimulatedPhone> =>
    until('it registers', () => node.registerPhone({ ...login, contact }).catch(() => undefined));
  for (const node of [one, one, two, one, two]) {
    await start(node);
    await until(`it is at ${node.name} and nowhere else`, async () => {
      const phones = await phonesOf(name('ann'));
      return phones.length === 1 && phones[0]!.node === node.name;
    });
  }
  await until('the nodes have forgotten what it left', () => one.phones().every((p) => p.username !== name('ann')));
});

test('a mobile app is started forty times: each start gets in, and the oldest gives way over the whole pool', async () => {
  await app.addUser(name('ann'));
  const login = { username: name('ann'), domain: DOMAIN, password: passwordOf(name('ann')), expiresSeconds: 300 };
  for (let start = 0; start < 40; start += 1)
    await until('it registers', () => [one, two][start % 2]!.registerPhone(login).catch(() => undefined));
  await phonesAre(name('ann'), 20);
  await until('the nodes let the others go', () => {
    const at = (node: Node): number => node.phones().filter((p) => p.username === name('ann')).length;
    return at(one) + at(two) === 20;
  });
});
