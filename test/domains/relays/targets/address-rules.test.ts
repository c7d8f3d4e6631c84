import {
  describePorts,
  findAddress,
  isAllowedAddress,
  isAllowedPort,
  type AddressRules,
} from '../../../../src/domains/relays/targets/address-rules';
import { listOwnHosts } from '../../../../src/domains/relays/targets/own-hosts';
import { createOwnNames } from '../../../../src/domains/relays/process/own-names';

const PUBLIC: AddressRules = { allowPrivate: false, allowedHosts: [], ports: [[1935, 1935]], ownHosts: [] };
const at = (host: string) => ({ host, port: 1935 });
const words = (text: string): [string][] =>
  text
    .trim()
    .split(/\s+/)
    .map((word) => [word]);

/** First and last of every block of IANA's special-purpose registries, and the notations that hide one in another. */
test.each(
  words(`
    0.0.0.0 0.255.255.255 10.0.0.0 10.1.2.3 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.9.9.9
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.0.9 192.0.0.170 192.0.2.1 192.31.196.1 192.52.193.1
    192.88.99.2 192.168.1.1 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
    239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 0:0:0:0:0:0:0:1 ::127.0.0.1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:7f00:1 0:0:0:0:0:ffff:127.0.0.1
    0:0:0:0:0:ffff:7f00:1 ::FFFF:10.0.0.1 ::ffff:0:127.0.0.1 ::ffff:0:7f00:1 ::ffff:0:8.8.8.8 64:ff9b::127.0.0.1
    64:ff9b::7f00:1 64:ff9b:1::a00:1 100::1 100:0:0:1::1 100:0:0:1:ffff:ffff:ffff:ffff 200::1 1fff::1
    2001::1 2001:0:7f00:1::1 2001:1::1 2001:1::2 2001:1::3 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 2001:20::1
    2001:30::1 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff
    2002:7f00:1::1 2002:808:808::1 2620:4f:8000::1 3fff::1 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff
    4000::1 5f00::1 5f00:ffff::1 8000::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 ff02::1
    ff0e::1 2606:4700::1111%eth0 not-an-address 127.1 2130706433 0x7f000001
  `),
)('%s is forbidden', (address) => {
  expect(isAllowedAddress(PUBLIC, 'a.example.com', address)).toBe(false);
});

test.each(
  words(`8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 172.15.255.255 172.32.0.1
    192.0.1.1 192.0.3.1 198.17.255.255 198.20.0.0 223.255.255.255 ::ffff:8.8.8.8 ::ffff:808:808
    2001:200::1 2001:4860::1 2003::1 2606:4700::1111 2620:4f:8001::1 2a00:1450::1 3ffe::1`),
)('%s is allowed', (address) => {
  expect(isAllowedAddress(PUBLIC, 'a.example.com', address)).toBe(true);
});

test('what an operator allows by name, address or network is allowed, and nothing beside it', () => {
  const rules = { allowPrivate: false, allowedHosts: ['studio.local', '10.1.0.0/16', '192.168.7.7'] };
  expect(isAllowedAddress(rules, 'studio.local', '192.168.1.1')).toBe(true);
  expect(isAllowedAddress(rules, 'other.local', '10.1.200.3')).toBe(true);
  expect(isAllowedAddress(rules, 'other.local', '192.168.7.7')).toBe(true);
  expect(isAllowedAddress(rules, 'other.local', '10.2.0.1')).toBe(false);
  expect(isAllowedAddress(rules, 'not.studio.local', '192.168.1.1')).toBe(false);
  expect(isAllowedAddress({ allowPrivate: true, allowedHosts: [] }, 'x', '127.0.0.1')).toBe(true);
});

test('public addresses of ours are forbidden in every notation, unless they are allowed by name', () => {
  const own = ['20.30.40.50', '2a00:1450::1', 'not resolved'];
  const forbids = (address: string, o: Partial<AddressRules> = {}): boolean =>
    !isAllowedAddress({ ...PUBLIC, ...o }, 'a.example.com', address, own);
  for (const address of ['20.30.40.50', '::ffff:20.30.40.50', '2a00:1450::1', '2a00:1450:0:0::0:1'])
    expect(forbids(address)).toBe(true);
  expect(forbids('20.30.40.50', { allowPrivate: true })).toBe(true);
  expect(forbids('20.30.40.51')).toBe(false);
  expect(forbids('20.30.40.50', { allowedHosts: ['20.30.40.50'] })).toBe(false);
});

test('a name that leads to one of our own addresses is refused, whichever of our names has it', async () => {
  const names: Record<string, string[]> = { 'a.example.com': ['20.30.40.50'], 'db.example.com': ['20.30.40.50'] };
  const resolve = async (host: string): Promise<string[]> => names[host] ?? Promise.reject(new Error('ENOTFOUND'));
  const rules = { ...PUBLIC, ownHosts: ['nobody.example.com', 'db.example.com'] };
  await expect(findAddress(rules, at('a.example.com'), resolve, 1000)).rejects.toThrow(
    expect.objectContaining({
      message: expect.stringMatching(/not to ours/),
      detail: expect.stringMatching(/20\.30\.40\.50/),
    }),
  );
  expect(await findAddress(PUBLIC, at('a.example.com'), resolve, 1000)).toBe('20.30.40.50');
});

test('our own are nodes, stores, doors and the addresses of this machine', () => {
  const config = {
    databaseUrl: 'postgres://u:p@db.example.com:5432/x',
    redisUrl: 'redis://:p@[2a00:1450::9]:6379',
    publicUrl: 'https://api.example.com',
    httpHost: '0.0.0.0',
    relayHost: '20.0.0.1',
    relayListenHost: undefined,
    turnUrls: ['turn:turn.example.com:3478?transport=udp'],
    recordingsS3: { endpoint: 'https://s3.example.com' } as never,
  };
  const nodes = [
    { host: '20.0.0.2', ws_url: 'wss://node-1.example.com' },
    { host: '20.0.0.3', ws_url: null },
  ];
  expect(listOwnHosts(config, nodes, { eth0: [{ address: '20.0.0.4' }] }).sort()).toEqual(
    [
      '0.0.0.0 20.0.0.1 20.0.0.2 20.0.0.3 20.0.0.4 2a00:1450::9 api.example.com db.example.com node-1.example.com',
      'turn.example.com s3.example.com',
    ]
      .join(' ')
      .split(' ')
      .sort(),
  );
});

test('names of ours are asked for once a minute, and the last answer holds while nobody answers', async () => {
  let nowMs = 0;
  const answers = [['20.0.0.1'], undefined, ['20.0.0.2']];
  let asked = 0;
  const resolve = async (): Promise<string[]> => answers[asked++] ?? Promise.reject(new Error('EAI_AGAIN'));
  const own = createOwnNames(resolve, () => nowMs);
  expect([await own('db'), await own('db'), asked]).toEqual([['20.0.0.1'], ['20.0.0.1'], 1]);
  nowMs = 60_000;
  expect([await own('db'), asked]).toEqual([['20.0.0.1'], 2]);
  nowMs = 120_000;
  expect(await own('db')).toEqual(['20.0.0.2']);
});

test('only ports that are named are allowed, and a target with another one is not even resolved', async () => {
  const rules: AddressRules = {
    ...PUBLIC,
    ports: [
      [443, 443],
      [8000, 8010],
    ],
  };
  expect([443, 8000, 8010].every((port) => isAllowedPort(rules, port))).toBe(true);
  expect([22, 442, 444, 7999, 8011].some((port) => isAllowedPort(rules, port))).toBe(false);
  expect(describePorts(rules)).toBe('443, 8000 to 8010');
  const resolve = (): Promise<string[]> => Promise.reject(new Error('asked'));
  await expect(findAddress(rules, { host: 'a.example.com', port: 22 }, resolve, 1000)).rejects.toThrow(/port/);
});

test('a name with one forbidden address among good ones is refused whole', async () => {
  const resolve = async (): Promise<string[]> => ['8.8.8.8', '127.0.0.1'];
  await expect(findAddress(PUBLIC, at('a.example.com'), resolve, 1000)).rejects.toThrow(/can not be used/);
});

test('a name that leads elsewhere at the second look is looked up once only', async () => {
  const answers = [['8.8.8.8'], ['127.0.0.1']];
  const resolve = async (): Promise<string[]> => answers.shift()!;
  expect(await findAddress(PUBLIC, at('a.example.com'), resolve, 1000)).toBe('8.8.8.8');
  expect(answers).toHaveLength(1);
});

test('a name nobody knows looks like a forbidden one, and one nobody answers for is given up in time', async () => {
  const unknown = (): Promise<string[]> => Promise.reject(new Error('ENOTFOUND'));
  const inside = async (): Promise<string[]> => ['10.0.0.1'];
  const [nowhere, forbidden] = await Promise.all(
    [unknown, inside].map((resolve) => findAddress(PUBLIC, at('a.example.com'), resolve, 1000).catch((e: Error) => e)),
  );
  expect((nowhere as Error).message).toBe((forbidden as Error).message);
  await expect(findAddress(PUBLIC, at('a.example.com'), () => new Promise(() => {}), 50)).rejects.toThrow(/reached/);
});
