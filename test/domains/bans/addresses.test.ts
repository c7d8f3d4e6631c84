import { countedAddress, countedSingles, isListed, NO_ADDRESS } from '../../../src/domains/bans/addresses';
import { listNetworks } from '../../../src/address';

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::FFFF:c000:207', '192.0.2.7'],
  ['0:0:0:0:0:ffff:c000:0207', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:0001:0002::1', '2001:db8:1:2::/64'],
  ['[2001:db8:1:2::9]', '2001:db8:1:2::/64'],
  ['2001:db8::', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['2001:db8:1:2::/64', '2001:db8:1:2::/64'],
  ['192.0.2.7/64', NO_ADDRESS],
  ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ['', NO_ADDRESS],
  ['192.0.2.7:5060', NO_ADDRESS],
  ['0300.0.2.7', NO_ADDRESS],
  ['example.org', NO_ADDRESS],
  [undefined, NO_ADDRESS],
])('%s is counted as %s', (text, counted) => {
  expect(countedAddress(text)).toBe(counted);
});

const never = [
  '10.0.0.0/8',
  '192.0.2.1',
  '2001:db8:a::/48',
  '2001:db8:b:c::5',
  '2001:db8:d:e:f::/80',
  'node.example.org',
  '1.2.3.4/99',
  '::ffff:198.51.100.0/120',
];
const isNever = (text: string): boolean => isListed(listNetworks(never), countedSingles(never), countedAddress(text));

test.each([
  '10.9.8.7',
  '198.51.100.9',
  '::ffff:10.9.8.7',
  '192.0.2.1',
  '2001:db8:a:ffff::1',
  '2001:db8:b:c::77',
  '2001:db8:d:e::1',
  '',
])('the never-list has %s', (text) => expect(isNever(text)).toBe(true));
test.each(['11.0.0.1', '192.0.2.2', '2001:db8:b:d::5', '2001:db8:f::1', '1.2.3.4'])(
  'the never-list does not have %s',
  (text) => expect(isNever(text)).toBe(false),
);
