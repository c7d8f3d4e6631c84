/** Guessing at two real FreeSWITCH nodes, with SIP written by hand from several addresses of this machine. */
import { startRealPool, type RealPool } from '../../browser/pool/real-pool';
import { openGuesser, type Guesser, type Try } from '../../freeswitch/sip-guesser';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../../until';
import { banContract, type GuessedNode } from './bans.contract';
import type { Answer } from '../harness';

const DOMAIN = 'guessed.test';

describeWithRealNode('guessing at real nodes', (freeswitch) => {
  let pool: RealPool;
  const guessers = new Map<string, Promise<Guesser>>();
  const opened: Guesser[] = [];
  const stores = useStores();
  const guesserAt = (address: string): Promise<Guesser> => {
    const known = guessers.get(address) ?? openGuesser(address);
    guessers.set(address, known);
    return known;
  };
  beforeAll(async () => {
    // All of 127.0.0.0/8 is a trusted proxy where nothing is said, and never banned.
    pool = await startRealPool(freeswitch, stores, 2, { TRUSTED_PROXIES: '192.0.2.1' });
    await pool.api.post('/v1/domains', { name: DOMAIN });
  }, 300_000);
  afterAll(async () => {
    for (const guesser of [...(await Promise.all(guessers.values())), ...opened]) guesser.close();
    await pool?.stop();
  });

  const api = async (method: string, path: string, body?: unknown, key?: string): Promise<Answer> => {
    const response = await fetch(`${pool.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key ?? pool.apiKey}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      body: body ? JSON.stringify(body) : undefined,
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : undefined };
  };
  const nodeAt = (index: number): GuessedNode => ({
    login: async ({ address, ...o }) =>
      (await guesserAt(address)).try(pool.nodes[index]!.sipPort, { ...o, domain: DOMAIN }),
    async openPhone({ address, ...o }) {
      const phone = await openGuesser(address);
      opened.push(phone);
      return { register: () => phone.try(pool.nodes[index]!.sipPort, { ...o, domain: DOMAIN }) };
    },
  });

  banContract(() => ({ domain: DOMAIN, nodes: [nodeAt(0), nodeAt(1)], api }));

  const bansOf = async (address: string): Promise<Answer['body'][]> =>
    (await api('GET', `/v1/bans?address=${address}`)).body.items;
  let made = 0;
  const addUser = async (): Promise<string> => {
    const username = `tried-${(made += 1)}`;
    await pool.api.post('/v1/users', { domain: DOMAIN, username, password: 'tugboat-7-lantern' });
    return username;
  };
  /** Tries so often, with another password each time. */
  async function guess(address: string, times: number, o: Partial<Try> & { username: string }): Promise<number[]> {
    const guesser = await guesserAt(address);
    const statuses: number[] = [];
    for (let i = 0; i < times; i += 1) {
      const password = `wrong-guess-${i}`;
      statuses.push(await guesser.try(pool.nodes[0]!.sipPort, { domain: DOMAIN, password, ...o }));
    }
    return statuses;
  }

  test.each([
    ['INVITE', '127.0.0.21', { method: 'INVITE' }],
    ['the older digest', '127.0.0.23', { withoutQop: true }],
    ['an empty URI in the proof', '127.0.0.24', { uri: '' }],
  ] as const)('passwords tried by %s are counted', async (_what, address, o) => {
    await guess(address, 14, { ...o, username: await addUser() });
    const ban = await until('the address is banned', async () => (await bansOf(address))[0]);
    expect(ban).toMatchObject({ kind: 'address', reason: 'wrong_passwords' });
  });

  test('passwords tried by MESSAGE, of which FreeSWITCH tells no event, are counted where it asks for one at all', async () => {
    const [address, username] = ['127.0.0.22', await addUser()];
    const asked = await (
      await guesserAt(address)
    ).ask(pool.nodes[0]!.sipPort, { method: 'MESSAGE', username, domain: DOMAIN });
    await guess(address, 14, { method: 'MESSAGE', username });
    if (asked !== 407 && asked !== 401) {
      expect(await bansOf(address)).toEqual([]);
      // No password is read there: the right one and a wrong one are told the same.
      const wrong = await guess(address, 1, { method: 'MESSAGE', username });
      const right = await guess(address, 1, { method: 'MESSAGE', username, password: 'tugboat-7-lantern' });
      return expect(wrong).toEqual(right);
    }
    expect(await until('the address is banned', async () => (await bansOf(address))[0])).toMatchObject({
      kind: 'address',
    });
  });

  test('first challenges and old nonces are no failures, however many', async () => {
    const [address, username] = ['127.0.0.25', await addUser()];
    const guesser = await guesserAt(address);
    const { sipPort } = pool.nodes[0]!;
    for (let i = 0; i < 30; i += 1) {
      expect(await guesser.ask(sipPort, { username, domain: DOMAIN })).toBe(401);
      const stale = { username, domain: DOMAIN, password: 'x', nonce: `0b1e2c3d-${i}` };
      expect(await guesser.try(sipPort, stale)).toBe(401);
    }
    const right = { username, domain: DOMAIN, password: 'tugboat-7-lantern' };
    expect(await guesser.try(sipPort, right)).toBe(200);
    expect(await bansOf(address)).toEqual([]);
  });

  test('a right password is not taken for a wrong one, however its URI is written', async () => {
    const [address, username] = ['127.0.0.26', await addUser()];
    const guesser = await guesserAt(address);
    for (const uri of [`sip:%2B4930123@${DOMAIN}`, `sip:%23123@${DOMAIN}`, `sip:*97@${DOMAIN};user=phone`, '']) {
      for (let i = 0; i < 4; i += 1) {
        const right = { username, domain: DOMAIN, password: 'tugboat-7-lantern', uri };
        expect(await guesser.try(pool.nodes[0]!.sipPort, right)).toBe(200);
      }
    }
    expect(
      await stores.db('events').where({ type: 'user.login_failed' }).whereRaw("data->>'username' = ?", [username]),
    ).toEqual([]);
    expect(await bansOf(address)).toEqual([]);
  });
});
