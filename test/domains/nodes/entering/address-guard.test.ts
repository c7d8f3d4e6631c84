/** Which addresses can be a node's, where nothing is allowed beyond what is safe. */
import {
  readAddressRules,
  refuseAddress,
  type AddressRules,
} from '../../../../src/domains/nodes/entering/address-guard';
import type { NodeAddress } from '../../../../src/domains/nodes/nodes';
import { createLogger } from '../../../../src/infra/logger';

const RULES: AddressRules = {
  allowedNetworks: [],
  wsHosts: ['phones.example.org', '*.media.example.org'],
  maxUnits: 1000,
  storeHosts: ['192.0.2.5', 'fd00::5'],
  storePorts: [5432, 6379],
  ownHosts: ['192.0.2.7'],
  ownPort: 8080,
};
const NODE: NodeAddress = {
  ...{ host: '192.0.2.10', eslPort: 8021, sipPort: 5060, internodePort: 5080, wsPort: 5066 },
  ...{ wsUrl: null, zone: '', capacityUnits: 100 },
};
const refused = (change: Partial<NodeAddress>, rules: Partial<AddressRules> = {}) =>
  refuseAddress({ ...NODE, ...change }, { ...RULES, ...rules });

test.each(['127.0.0.1', '127.9.9.9', '::1'])('%s is loopback, and allowed only by name', (host) => {
  expect(refused({ host })).toContain('loopback address; to allow that, name it in NODE_ALLOWED_NETWORKS');
  expect(refused({ host }, { allowedNetworks: ['127.0.0.0/8', '::1'] })).toBeUndefined();
  expect(refused({ publicHost: host })).toContain('public');
});

test.each(['0.0.0.0', '::', '224.0.0.5', '255.255.255.255', 'ff02::1', '::ffff:10.0.0.1', '::127.0.0.1'])(
  '%s is no host, whatever is allowed',
  (host) => {
    expect(refused({ host }, { allowedNetworks: ['0.0.0.0/0', '::/0'] })).toContain("no host's own address");
  },
);

test.each([
  '169.254.169.254',
  'fe80::1',
  '192.0.2.5',
  'fd00::5',
  'fd00:0:0::5',
  'localhost',
  'node.example.org',
  '0x7f.1',
  '',
])('%s is refused', (host) => expect(refused({ host })).toBeDefined());

test('a link-local address of IPv6 is no node’s, whatever is allowed: it needs a zone', () => {
  expect(refused({ host: 'fe80::1' }, { allowedNetworks: ['fe80::/10'] })).toContain('give the node another address');
  expect(refused({ host: '169.254.0.9' }, { allowedNetworks: ['169.254.0.0/16'] })).toBeUndefined();
});

test('browsers are sent to a node’s own IPv6 address in any spelling', () => {
  const host = '2001:db8::7';
  expect(refused({ host, wsUrl: 'ws://[2001:DB8:0:0::7]:5066' })).toBeUndefined();
  expect(refused({ host, wsUrl: 'ws://[2001:db8::8]:5066' })).toContain('NODE_WS_HOSTS');
});

test.each(['192.0.2.10', '10.0.0.1', '203.0.113.7', '2001:db8::7', 'fd00::6'])('%s is taken', (host) =>
  expect(refused({ host })).toBeUndefined(),
);

test('no port of a store is a node’s on any machine, and none of ours on our own', () => {
  for (const name of ['eslPort', 'sipPort', 'internodePort', 'wsPort'] as const) {
    expect(refused({ [name]: 5432 })).toContain('the port of a store');
    expect(refused({ host: '192.0.2.7', [name]: 8080 })).toContain("Switchyard's own port");
    expect(refused({ [name]: 8080 })).toBeUndefined();
  }
});

test.each([
  ['ws://192.0.2.10:5066', true],
  ['wss://203.0.113.7:7443', true],
  ['wss://phones.example.org', true],
  ['wss://node-1.media.example.org/ws', true],
  ['wss://media.example.org', false],
  ['wss://evil-media.example.org', false],
  ['wss://phones.example.org.evil.test', false],
  ['wss://phones.example.org@evil.test', false],
  ['ws://192.0.2.11:5066', false],
])('browsers are sent to %s: %s', (wsUrl, isTaken) => {
  expect(refused({ wsUrl, publicHost: '203.0.113.7' }) === undefined).toBe(isTaken);
});

test('a node says no more of itself than is allowed', () => {
  expect(refused({ capacityUnits: 1000 })).toBeUndefined();
  expect(refused({ capacityUnits: 1001 })).toContain('NODE_MAX_UNITS');
});

test('what is ours is read from the settings; a name nobody knows refuses nobody, and is said', async () => {
  const said: string[] = [];
  const logger = createLogger('warn', { write: (line: string) => void said.push(line) });
  const settings = {
    ...{
      databaseUrl: 'postgres://u:p@[::1]/x',
      redisUrl: 'rediss://:p@no-such-host.invalid:7000',
      httpHost: '192.0.2.7',
    },
    ...{ httpPort: 8080, nodeAllowedNetworks: [], nodeWsHosts: [], nodeMaxUnits: 5 },
  };
  const rules = await readAddressRules(settings, logger);
  expect(rules).toMatchObject({ storeHosts: ['::1'], storePorts: [5432, 7000], ownHosts: ['192.0.2.7'], maxUnits: 5 });
  expect(said.join('')).toContain('no-such-host.invalid');
  expect((await readAddressRules({ ...settings, httpHost: '0.0.0.0' }, logger)).ownHosts).toContain('127.0.0.1');
});
