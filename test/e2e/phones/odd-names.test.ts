/** A name that could not be called or changed is refused when it is given, with words; one from before works as any other. */
import { useStores } from '../../stores';
import { DOMAIN, startApp, passwordOf, until, type Node, type App } from '../harness';

const stores = useStores();
let app: App;
let node: Node;
beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
  await app.addPhone(node, 'ann');
  await app.addPhone(node, 'carl');
});
afterAll(() => app.close());

const ODD = ['.bob', '-bob', '-both', '..', '-', '._', '--bob.'];

test.each(ODD)('a new user or room %s is refused, and it is said why', async (name) => {
  for (const [path, field] of [
    ['/v1/users', 'username'],
    ['/v1/rooms', 'name'],
  ] as const) {
    const said = await app.api('POST', path, { domain: DOMAIN, [field]: name });
    const errors = [{ path: field, message: 'must not begin with . or -' }];
    expect(said).toMatchObject({ status: 400, body: { code: 'invalid_request', errors } });
  }
});

test.each([
  ['9196', 'which every domain has already: the echo'],
  ['g-abcdefghijklmnopqrstuvwxyz', 'must not look like the SIP name of a grant'],
  ['bob@clinic.test', 'must be 1 to 64 of'],
])('a new user or room %s is refused: %s', async (name, why) => {
  const user = await app.api('POST', '/v1/users', { domain: DOMAIN, username: name });
  const room = await app.api('POST', '/v1/rooms', { domain: DOMAIN, name });
  for (const said of [user, room])
    expect(said).toMatchObject({ status: 400, body: { errors: [{ message: expect.stringContaining(why) }] } });
});

test('names that begin otherwise, and the domain of nobody, are as they were', async () => {
  for (const username of ['_svc', '0', 'a.', 'A-'])
    expect(await app.api('POST', '/v1/users', { domain: DOMAIN, username })).toMatchObject({ status: 201 });
  const nobody = await app.api('POST', '/v1/domains', { name: 'Anonymous.Invalid' });
  expect(nobody).toMatchObject({ status: 400, body: { errors: [{ path: 'name' }] } });
});

let made = 0;
/** As a release before wrote it. */
async function oldUser(name: string): Promise<string> {
  const id = await app.addUser(`old-${(made += 1)}`);
  await stores.db('users').where({ id }).update({ username: name });
  await app.must(200, 'PATCH', `/v1/users/${id}`, { password: passwordOf(name) });
  return `/v1/users/${id}`;
}

test.each(['.bob', '-bob', '-both'])(
  'a user %s from before is called, calls, is found, changed and deleted',
  async (name) => {
    const path = await oldUser(name);
    const phone = await app.addPhone(node, name);
    for (const [from, to] of [
      ['user:ann', `user:${name}`],
      ['user:ann', name],
      [`user:${name}`, '9196'],
      [`${name}@${DOMAIN}`, 'user:ann'],
    ]) {
      const { id } = await app.call(from!, to!);
      await app.callIs(id, 'answered');
      await app.hangUp(id);
      await app.callIs(id, 'ended');
    }
    const dialled = phone.dial('ann');
    expect(await dialled.answered).toBe(true);
    dialled.hangup();
    const { id } = await app.call('user:ann', 'user:carl');
    await app.callIs(id, 'answered');
    await app.must(200, 'POST', `/v1/calls/${id}/transfer`, { to: `user:${name}` });
    await until('it has arrived', async () => {
      const { legs, to } = await app.readCall(id);
      return to === `user:${name}` && legs.some((leg) => leg.address === to && leg.state === 'answered');
    });
    await app.hangUp(id);
    await app.callIs(id, 'ended');
    expect(await app.must(200, 'PATCH', path, { displayName: 'Old' })).toMatchObject({ username: name });
    await app.must(204, 'DELETE', path);
    expect((await app.api('GET', path)).status).toBe(404);
  },
);

test('a room with such a name from before is entered and deleted, and its domain goes with all of them', async () => {
  const { id } = await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'older' });
  await stores.db('rooms').where({ id }).update({ name: '-daily' });
  const phone = await app.addPhone(node, 'dialler');
  const call = phone.dial('-daily');
  expect(await call.answered).toBe(true);
  const rest = await app.call('user:carl', 'room:-daily');
  await until('both are in', async () => {
    const { items } = await app.must(200, 'GET', `/v1/rooms/${id}/participants`);
    return items.filter(({ state }: { state: string }) => state === 'in').length === 2;
  });
  expect((await app.must(200, 'GET', '/v1/rooms?name=-daily')).items).toHaveLength(1);
  await app.hangUp(rest.id);
  call.hangup();
  await app.callIs(rest.id, 'ended');
  await until('it is deleted', async () => (await app.api('DELETE', `/v1/rooms/${id}?force=true`)).status === 204);
  await oldUser('.last');
  await until('the domain is deleted', async () => (await app.api('DELETE', `/v1/domains/${DOMAIN}`)).status === 204);
});
