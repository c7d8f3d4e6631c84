/** A node that is started anew lists its phones of before: what is shown and rung is what may still be there. */
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

interface Shown {
  node: string;
  unproven: boolean;
  transport: string;
}
const registrationsOf = async (username: string): Promise<Shown[]> =>
  (await app.must(200, 'GET', `/v1/users?username=${username}&domain=${DOMAIN}`)).items[0].registrations;

test('after a restart a page is gone, a telephone is unproven and rung, and is proven by its next REGISTER', async () => {
  const desk = await app.addPhone(one, 'desk', { answerAfterMs: 10 });
  for (const username of ['page', 'mover']) await app.addUser(username);
  const login = (username: string) => ({
    username,
    domain: DOMAIN,
    password: passwordOf(username),
    expiresSeconds: 3600,
  });
  await one.registerPhone({ ...login('page'), transport: 'ws' });
  const contact = 'sip:mover@10.0.0.9:5060';
  await one.registerPhone({ ...login('mover'), contact });
  for (const username of ['page', 'mover'])
    await until(`${username} is there`, async () => (await registrationsOf(username)).length === 1);
  await one.kill();
  await app.nodeIs(one, 'down');
  await two.registerPhone({ ...login('mover'), contact }); // it found another node meanwhile
  await until('it is at two', async () => (await registrationsOf('mover'))[0]?.node === 'two');
  await one.restart();
  await app.nodeIs(one, 'serving');
  expect(one.phones().map(({ username }) => username)).toContain('desk'); // its own database

  const shown = await until('the telephone is shown', async () => (await registrationsOf('desk'))[0]);
  expect(shown).toMatchObject({ node: 'one', unproven: true, transport: 'udp' });
  expect(await registrationsOf('page')).toEqual([]);
  expect(await registrationsOf('mover')).toMatchObject([{ node: 'two', unproven: false }]);
  await until('the node forgets them, too', () => one.phones().every(({ username }) => username === 'desk'));

  const call = await app.call('user:desk', '9196');
  await app.callIs(call.id, 'answered');
  await app.hangUp(call.id);
  expect(await desk.refresh(3600)).toBe(200);
  await until('it is proven', async () => (await registrationsOf('desk'))[0]?.unproven === false);
});
