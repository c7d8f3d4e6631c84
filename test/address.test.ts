/** Holds the one reading of addresses to every spelling that comes in. */
import { hostAndPort, isInList, listNetworks, readAddress, readHost, readNetwork, uriHost } from '../src/address';
import { readConfig } from '../src/config';
import { phoneKeyOf } from '../src/domains/registrations/phone-key';
import { judgeMedia } from '../src/domains/calls/dialplan/media-address';
import { dialStringTo } from '../src/freeswitch/xml';
import { readableUrl } from '../src/infra/stores/db';

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::1', '::1'],
  ['[::1]', '::1'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['::FFFF:192.0.2.1', '192.0.2.1'],
  ['::ffff:c000:0201', '192.0.2.1'],
  ['fe80::1%eth0', 'fe80::1'],
])('%s is read as %s', (text, address) => expect(readAddress(text)).toBe(address));

test.each(['', 'localhost', '[192.0.2.1]', '192.0.2.1:5060', '[::1]:5060', '[[::1]]', '0300.0.2.7', ' ::1'])(
  '"%s" is no address',
  (text) => {
    expect(readAddress(text)).toBeUndefined();
    expect(isInList(listNetworks(['0.0.0.0/0', '::/0']), text)).toBe(false);
  },
);

test.each([
  ['10.0.0.0/8', '10.0.0.0/8'],
  ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
  ['2001:DB8::/32', '2001:db8::/32'],
  ['[::1]/128', '::1/128'],
  ['::1', '::1'],
  ['::ffff:10.0.0.0/90', undefined],
  ['10.0.0.0/33', undefined],
  ['2001:db8::/129', undefined],
  ['fe80::%eth0/64', undefined],
  ['10.0.0.0/', undefined],
  ['10.0.0.0/8/8', undefined],
])('the network %s is read as %s', (text, network) => expect(readNetwork(text)).toBe(network));

test('in a URI an IPv6 address has brackets, once', () => {
  expect(['::1', '[::1]', '192.0.2.1', 'example.org'].map(uriHost)).toEqual([
    '[::1]',
    '[::1]',
    '192.0.2.1',
    'example.org',
  ]);
  expect(hostAndPort('2001:db8::1', 5060)).toBe('[2001:db8::1]:5060');
  expect(readHost('Example.ORG')).toBe('example.org');
});

test('an address is in a list whatever its spelling there and here', () => {
  const list = listNetworks(['::ffff:198.51.100.0/120', '2001:DB8:0::/48', 'node.example.org', '192.0.2.1']);
  for (const address of ['198.51.100.7', '::ffff:c633:6407', '[2001:db8::5]', '2001:db8:0:1::%x', '::ffff:192.0.2.1'])
    expect(isInList(list, address)).toBe(true);
  for (const address of ['198.51.101.7', '2001:db8:1::5', 'node.example.org'])
    expect(isInList(list, address)).toBe(false);
});

const MUST = {
  DATABASE_URL: 'postgres://x@127.0.0.1/x',
  REDIS_URL: 'redis://127.0.0.1',
  SWITCHYARD_SECRET: Buffer.alloc(32).toString('base64'),
};

test('networks in settings are kept in one spelling; one with a zone is refused in words', () => {
  const { controlNetworks } = readConfig({ ...MUST, CONTROL_NETWORKS: '::ffff:10.1.0.0/112, [2001:DB8::]/32' });
  expect(controlNetworks).toEqual(['10.1.0.0/16', '2001:db8::/32']);
  expect(() => readConfig({ ...MUST, TRUSTED_PROXIES: 'fe80::1%eth0' })).toThrow('without a zone');
});

test('a phone is the same in every spelling of its address', () => {
  const key = (contact: string, networkIp: string): string => phoneKeyOf({ contact, networkIp, transport: 'udp' });
  expect(key('<sip:ann@[2001:DB8:0::1]>', '[2001:db8::1]')).toBe(key('sip:x@[2001:db8::1]:5060', '2001:DB8:0:0::1'));
  expect(key('<sip:ann@[::ffff:10.0.0.1]>', '10.0.0.1')).toBe(key('sip:ann@10.0.0.1', '::ffff:10.0.0.1'));
  expect(key('sip:ann@[2001:db8::1]', '2001:db8::1')).not.toBe(key('sip:ann@[2001:db8::2]', '2001:db8::1'));
});

test("media to a phone's own IPv6 address is its own in any spelling, and to another one is not", () => {
  const sdp = (address: string): string => `v=0\r\nc=IN IP6 ${address}\r\nm=audio 4000 RTP/AVP 0\r\n`;
  expect(judgeMedia(sdp('2001:DB8:0::5'), '2001:db8::5')).toBe('own');
  expect(judgeMedia(sdp('0::0'), '2001:db8::5')).toBe('own');
  expect(judgeMedia(sdp('fd00::5'), '2001:db8::5')).toBe('translated');
  expect(judgeMedia(sdp('2001:db8::6'), '2001:db8::5')).toBe('foreign');
});

test('a phone at a node of IPv6 is reached from another node', () => {
  const contact = {
    ...{ node: 'two', host: '2001:db8::2', internodePort: 5080, contact: 'sip:a@[2001:db8::9]', profile: 'internal' },
    source: { networkIp: '2001:db8::9', networkPort: 5060, transport: 'udp' },
  };
  const o = {
    username: 'ann',
    domain: 'six.test',
    thisNode: 'one',
    token: () => 'T',
    callId: 'c',
    createId: () => 'u',
  };
  expect(dialStringTo({ ...o, contacts: [contact] })).toContain(']sofia/internode/ann@[2001:db8::2]:5080');
  expect(dialStringTo({ ...o, thisNode: 'two', contacts: [contact] })).toContain('sofia/internal/sip:a@[2001:db8::9]');
});

test('Postgres is found at an IPv6 address; other addresses of it stay as they are', () => {
  const host = (url: string): string | null => new URL(readableUrl(url)).searchParams.get('host');
  expect(host('postgres://me:p%40ss@[::1]:5433/switchyard')).toBe('::1');
  const plain = 'postgres://me@db.example.org:5433/switchyard?sslmode=require';
  expect(readableUrl(plain)).toBe(plain);
});
