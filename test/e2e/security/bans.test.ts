/** Guessing at simulated nodes, and what every replica makes of it. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { useStores } from '../../stores';
import { banContract, type GuessedNode } from './bans.contract';
import { ADMIN_KEY, DOMAIN, startApp, until, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

const stores = useStores();
let app: App;
let nodes: [Node, Node];
beforeAll(async () => {
  app = await startApp(stores);
  nodes = [await app.addNode('one'), await app.addNode('two')];
});
afterAll(() => app?.close());

const guessed = (node: () => Node): GuessedNode => ({
  login: (o) =>
    node()
      .registerPhone({ ...o, domain: DOMAIN })
      .then(
        (phone) => {
          phone.unregister();
          return 200;
        },
        (error: Error) => Number(/got (\d+)$/.exec(error.message)?.[1]),
      ),
  async openPhone(o) {
    let phone: Awaited<ReturnType<Node['registerPhone']>> | undefined;
    return Promise.resolve({
      async register() {
        if (phone) return phone.refresh();
        phone = await node().registerPhone({ ...o, domain: DOMAIN });
        return 200;
      },
    });
  },
});

banContract(() => ({
  domain: DOMAIN,
  nodes: [guessed(() => nodes[0]), guessed(() => nodes[1])],
  async api(method, path, body, key = ADMIN_KEY) {
    const response = await fetch(`${app.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : undefined };
  },
}));

/** A node's question about a login. */
const question = (username: string, password: string, address: string): Record<string, string> =>
  loginQuestion({ username, password, address, method: 'REGISTER' });

test('what one replica has banned every replica refuses, also one that comes later; and a lifted ban holds nowhere', async () => {
  const second = await app.addReplica({ roles: ['api'] });
  await app.addUser('replicated');
  const ask = (url: string, password: string, address = '192.0.2.4') => {
    const node = { ...nodes[0], name: 'one', password: nodes[0].password };
    const xmlUrl = nodes[0].xmlUrl.replace(app.url, url);
    return app.askXml({ ...node, xmlUrl }, question('replicated', password, address));
  };
  const found = async (url: string, address?: string): Promise<boolean> =>
    (await ask(url, 'password-of-replicated', address)).text.includes('a1-hash');
  expect(await found(second.url, '192.0.2.5')).toBe(true);
  // One at each in turn: five are not enough for a ban of either, ten are for the pool's.
  for (let i = 0; i < 24; i += 1) await ask(i % 2 ? app.url : second.url, `wrong-${i}`);
  const ban = await until(
    'the login is banned there',
    async () => (await app.must(200, 'GET', '/v1/bans?address=192.0.2.4')).items[0],
  );
  await until('both refuse it', async () => !(await found(app.url)) && !(await found(second.url)));
  const late = await app.addReplica({ roles: ['api'] });
  await until('the one that came later refuses it', async () => !(await found(late.url)));
  expect((await app.api('DELETE', `/v1/bans/${ban.id}`, undefined, late.url)).status).toBe(204);
  await until('none refuses it', async () =>
    (await Promise.all([app.url, second.url, late.url].map((url) => found(url)))).every(Boolean),
  );
});

test('guesses with a forged address shut out nobody there who has the password, at any replica; wrong ones stay refused', async () => {
  const second = await app.addReplica({ roles: ['api'] });
  const [address, other] = ['198.51.100.20', '198.51.100.21'];
  for (const name of ['forged', 'newcomer']) await app.addUser(name);
  const ask = async (username: string, password: string, url = app.url, from = address): Promise<boolean> => {
    const node = { ...nodes[0], name: 'one', password: nodes[0].password };
    const xmlUrl = nodes[0].xmlUrl.replace(app.url, url);
    return (await app.askXml({ ...node, xmlUrl }, question(username, password, from))).text.includes('a1-hash');
  };
  expect(await ask('forged', 'password-of-forged')).toBe(true);
  const banned = (kind: string) =>
    until(`the ${kind} is banned`, async () =>
      (await app.must(200, 'GET', `/v1/bans?address=${address}`)).items.find((b: { kind: string }) => b.kind === kind),
    );
  const goOn = async (): Promise<void> => {
    for (const url of [app.url, second.url]) {
      expect(await ask('forged', 'still-wrong', url)).toBe(false);
      expect(await ask('forged', 'password-of-forged', url)).toBe(true);
    }
  };
  await Promise.all(Array.from({ length: 60 }, (_, i) => ask('forged', `wrong-${i}`)));
  await banned('login');
  await goOn();
  await Promise.all(Array.from({ length: 60 }, (_, i) => ask(`nobody-${i}`, 'wrong')));
  await banned('address');
  await until('the other replica knows', async () => !(await ask('newcomer', 'password-of-newcomer', second.url)));
  await goOn();
  // Who was never there before can't be told from the guesser, and gets in from elsewhere.
  expect(await ask('newcomer', 'password-of-newcomer')).toBe(false);
  expect(await ask('newcomer', 'password-of-newcomer', app.url, other)).toBe(true);
});

test('a ban that is over is said to be, and the next one lasts longer', async () => {
  await app.addUser('again');
  const address = '192.0.2.9';
  const guess = async (): Promise<void> => {
    for (let i = 0; i < 12; i += 1) await app.askXml(nodes[0], question('again', `wrong-${i}`, address));
  };
  const active = () =>
    until('it is banned', async () => (await app.must(200, 'GET', `/v1/bans?address=${address}`)).items[0]);
  await guess();
  const first = await active();
  await stores.db('bans').where({ id: first.id }).update({ until: stores.db.fn.now() });
  const ended = await until(
    'it is over',
    async () => (await app.must(200, 'GET', `/v1/bans?address=${address}&ended=true`)).items[0],
  );
  expect(ended).toMatchObject({ id: first.id, endReason: 'expired' });
  // What a replica holds ends by its own clock: here it is the row that was made shorter.
  const second = await until('it is banned again', async () => {
    await guess();
    return (await app.must(200, 'GET', `/v1/bans?address=${address}`)).items[0];
  });
  expect([first.level, second.level]).toEqual([1, 2]);
  expect(Date.parse(second.until) - Date.parse(second.startedAt)).toBe(300_000);
});

test('a user who is guessed from many addresses gets in from their own and from a new one; who failed there waits', async () => {
  await app.addUser('besieged');
  const login = async (password: string, address: string): Promise<boolean> =>
    (await app.askXml(nodes[0], question('besieged', password, address))).text.includes('a1-hash');
  const right = 'password-of-besieged';
  expect(await login(right, '203.0.113.200')).toBe(true);
  // One guess each is no matter for any address by itself.
  for (let i = 1; i <= 12; i += 1) await login('wrong-guess', `203.0.113.${i}`);
  // A right password that is quicker than the counting makes its address a good one: a new one each time.
  let address = 12;
  await until('who failed last is slowed', async () => {
    await login('wrong-guess', `203.0.113.${(address += 1)}`);
    await sleep(100);
    return !(await login(right, `203.0.113.${address}`));
  });
  expect(await login(right, '203.0.113.201')).toBe(true);
  expect(await login('a slip', '203.0.113.200')).toBe(false);
  expect(await login(right, '203.0.113.200')).toBe(true);
});

test('first challenges, grants that are over and logins that only seem wrong are no failures', async () => {
  const address = '192.0.2.12';
  for (let i = 0; i < 30; i += 1) {
    await app.askXml(nodes[0], question(`g-${'a'.repeat(26)}`, 'over', address));
    // No proof: nothing was tried.
    const { sip_auth_response: _response, ...bare } = question('again', 'x', address);
    await app.askXml(nodes[0], bare);
  }
  await app.addUser('honest');
  const answer = await app.askXml(nodes[0], question('honest', 'password-of-honest', address));
  expect(answer.text).toContain('a1-hash');
  expect((await app.must(200, 'GET', `/v1/bans?address=${address}`)).items).toEqual([]);
});

test('an address that shows key after key that nobody has is told to wait, and good keys elsewhere are not', async () => {
  const proxied = await app.addReplica({ roles: ['api'], trustedProxies: ['127.0.0.1'] });
  const ask = (key: string, from: string) =>
    fetch(`${proxied.url}/v1/users`, { headers: { authorization: `Bearer ${key}`, 'x-forwarded-for': from } });
  const guess = async (): Promise<void> => {
    await Promise.all(Array.from({ length: 30 }, (_, i) => ask(`sk_${'x'.repeat(20)}${i}`, '198.51.100.7')));
  };
  const ban = await until('the address is banned', async () => {
    await guess();
    return (await app.must(200, 'GET', '/v1/bans?address=198.51.100.7')).items[0];
  });
  expect(ban).toMatchObject({ door: 'api', reason: 'unknown_keys' });
  expect(ban.failures).toBeGreaterThanOrEqual(100);
  const refused = await ask(ADMIN_KEY, '198.51.100.7');
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(5);
  expect((await ask(ADMIN_KEY, '198.51.100.8')).status).toBe(200);
});

test('a node that asks twice about one login, as it does where it is told "not found", has told one failure', async () => {
  await app.addUser('clumsy');
  const counted = async (): Promise<number> => {
    const text = await (await fetch(`${app.operationsUrl}/metrics`)).text();
    return Number(/switchyard_login_failures_total\{kind="password"\} (\d+)/.exec(text)![1]);
  };
  const before = await counted();
  const wrong = question('clumsy', 'a slip', '192.0.2.77');
  for (let i = 0; i < 2; i += 1) expect((await app.askXml(nodes[0], wrong)).text).toContain('not found');
  await app.askXml(nodes[0], question('clumsy', 'a slip', '192.0.2.77'));
  expect(await counted()).toBe(before + 2);
});

test('what is wrong and what is banned is counted for Prometheus', async () => {
  const text = await (await fetch(`${app.operationsUrl}/metrics`)).text();
  expect(text).toMatch(/switchyard_login_failures_total\{kind="password"\} [1-9]/);
  expect(text).toMatch(/switchyard_logins_refused_total\{why="banned"\} [1-9]/);
  expect(text).toMatch(/switchyard_bans\{kind="address"\} [1-9]/);
});

test('an address from which a node joined a moment ago is not banned, whatever was counted there before', async () => {
  await app.addUser('beside-a-node');
  const address = '192.0.2.50';
  for (let i = 0; i < 9; i += 1) await app.askXml(nodes[0], question('beside-a-node', `wrong-${i}`, address));
  const { name, ...row } = await stores.db('nodes').where({ name: 'two' }).first();
  const probe = JSON.stringify(row.probe);
  const joined = {
    ...row,
    id: randomUUID(),
    name: `${name}-beside`,
    host: address,
    state: 'down',
    probe,
    canary: null,
  };
  await stores.db('nodes').insert(joined);
  for (let i = 0; i < 9; i += 1) await app.askXml(nodes[0], question('beside-a-node', `more-${i}`, address));
  expect((await app.must(200, 'GET', `/v1/bans?address=${address}`)).items).toEqual([]);
  expect((await app.api('POST', '/v1/bans', { address })).status).toBe(422);
  await stores.db('nodes').where({ id: joined.id }).delete();
});
