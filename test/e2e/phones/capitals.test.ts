/** Names that people write with capitals: who is meant is reached, and a login that can't work is refused in words. */
import { useStores } from '../../stores';
import { DOMAIN, startApp, passwordOf, until, type Node, type App } from '../harness';

const stores = useStores();
let app: App;
let node: Node;

beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
  await app.addPhone(node, 'Bert', { answerAfterMs: 20 });
  await app.addPhone(node, 'ann', { answerAfterMs: 20 });
  await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'Round' });
});
afterAll(() => app.close());

test.each([
  ['user:ANN', 'bert', 'user:ann', 'user:Bert'],
  ['Ann', 'BERT', 'user:ann', 'user:Bert'],
  ['ann', 'sip:bERT@Clinic.TEST', 'user:ann', 'user:Bert'],
  ['ann', 'room:ROUND', 'user:ann', 'room:Round'],
  ['ann', 'round', 'user:ann', 'room:Round'],
])('a call from %s to %s is one from %s to %s, and is answered', async (from, to, caller, callee) => {
  const call = await app.call(from, to);
  expect(call).toMatchObject({ from: caller, to: callee });
  await app.callIs(call.id, 'answered');
  await app.hangUp(call.id);
});

test('a phone dials in capitals', async () => {
  const phone = await app.addPhone(node, 'cleo', { answerAfterMs: 20 });
  const dialled = phone.dial('BERT');
  expect(await dialled.answered).toBe(true);
  dialled.hangup();
});

test('a domain is written in whatever capitals, and a user is found so', async () => {
  const { body } = await app.api('GET', '/v1/users?domain=CLINIC.test&username=BERT');
  expect(body.items.map((user: { username: string }) => user.username)).toEqual(['Bert']);
});

test('nobody is made whose name differs in capitals alone', async () => {
  const user = await app.api('POST', '/v1/users', { domain: DOMAIN, username: 'BERT' });
  expect([user.status, user.body.detail]).toEqual([409, expect.stringContaining('"Bert"')]);
  const room = await app.api('POST', '/v1/rooms', { domain: DOMAIN, name: 'round' });
  expect([room.status, room.body.detail]).toEqual([409, expect.stringContaining('"Round"')]);
});

test('users of before who differ in capitals alone are each reached by their own, and neither by a third spelling', async () => {
  await app.addUser('dora');
  const dora = (await stores.db('users').where({ username: 'dora' }).first()) as Record<string, unknown>;
  await stores.db('users').insert({ ...dora, id: '0192f0c0-0000-7000-8000-000000000001', username: 'DORA' });
  for (const name of ['dora', 'DORA']) expect(await app.call('ann', name)).toMatchObject({ to: `user:${name}` });
  expect((await app.api('POST', '/v1/calls', { domain: DOMAIN, from: 'ann', to: 'Dora' })).status).toBe(422);
});

test.each([
  ['its domain', { username: 'ann', domain: 'Clinic.TEST' }, 'in small letters'],
  ['its user name', { username: 'ANN', domain: DOMAIN }, 'capitals count'],
])('a phone that writes %s in other capitals is refused, and the log says what to do', async (_what, who, words) => {
  const refused = node.registerPhone({ ...who, password: passwordOf('ann') });
  await expect(refused).rejects.toThrow('403');
  await until('the log says so', () =>
    app.lines.some((line) => line.includes('a user was refused') && line.includes(words)),
  );
});
