/** Holds what a node's one URL and its proxy say of it to what is made of that. */
import { hostAndPort } from '../../../src/address';
import { signalUrl } from '../../../src/domains/nodes/nodes.store';
import { readNodeAddress, readNodeBase, readNodeDoors } from '../../../src/http/nodes/node-address';

const url = (more = ''): string => `/freeswitch/xml?host=10.0.0.1&esl=8021&sip=5060&internode=5080&ws=5066${more}`;

test('browsers are sent to the door with a certificate where the node has one, or to the address it names', () => {
  expect(readNodeAddress(url())).toMatchObject({ wsPort: 5066, wsUrl: null });
  expect(readNodeAddress(url('&wss=7443'))).toMatchObject({ wsPort: 5066, wsUrl: 'wss://10.0.0.1:7443' });
  const named = url(`&wss=7443&wsUrl=${encodeURIComponent('wss://n1.example.org:7443')}`);
  expect(readNodeAddress(named)).toMatchObject({ wsUrl: 'wss://n1.example.org:7443' });
  expect(readNodeDoors(url('&wss='))).toEqual({ rtpFrom: 16384, rtpTo: 32768 });
  expect(readNodeDoors(url('&wss=7443&rtp=2000-3000'))).toEqual({ rtpFrom: 2000, rtpTo: 3000, wssPort: 7443 });
});

test('a door with a certificate that is no port is told to the node by name', () => {
  expect(() => readNodeAddress(url('&wss=70000'))).toThrow("The node's URL: wss");
  expect(readNodeDoors(url('&wss=70000'))).toEqual({ rtpFrom: 16384, rtpTo: 32768 });
});

test('browsers are sent to the address that the world sees', () => {
  expect(readNodeAddress(url('&public=203.0.113.7'))).toMatchObject({
    host: '10.0.0.1',
    wsUrl: 'ws://203.0.113.7:5066',
  });
  expect(readNodeAddress(url('&public=2001:db8::7&wss=7443'))).toMatchObject({ wsUrl: 'wss://[2001:db8::7]:7443' });
  expect(readNodeDoors(url('&public=203.0.113.7'))).toMatchObject({ publicHost: '203.0.113.7' });
  expect(() => readNodeAddress(url('&public=n1.example.org'))).toThrow("The node's URL: public");
});

test.each([
  ['no proxy', {}, undefined, 'http://sy.test:8080'],
  ['a proxy that ends TLS', { 'x-forwarded-proto': 'https' }, undefined, 'https://sy.test:8080'],
  [
    'two proxies, of which the outer one ends TLS',
    { 'x-forwarded-proto': 'https, http' },
    undefined,
    'https://sy.test:8080',
  ],
  ['a proxy that says nonsense', { 'x-forwarded-proto': 'file' }, undefined, 'http://sy.test:8080'],
  ['a proxy that says nothing, under the public name', {}, 'https://sy.test:8080/', 'https://sy.test:8080'],
  ['a way of its own, beside the public name', {}, 'https://www.test', 'http://sy.test:8080'],
])('call records are sent where the questions go: %s', (_what, headers, publicUrl, base) => {
  expect(readNodeBase({ host: 'sy.test:8080', ...headers }, publicUrl)).toBe(base);
});

test.each([
  ['::1', '::1'],
  ['[::1]', '::1'],
  ['0:0:0:0:0:0:0:1', '::1'],
  ['2001:DB8:0::7', '2001:db8::7'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
])('a node at %s is at %s', (host, kept) => {
  const query = new URLSearchParams({ host, esl: '8021', sip: '5060', internode: '5080', ws: '5066' });
  const address = readNodeAddress(`/freeswitch/xml?${query}`)!;
  expect(address.host).toBe(kept);
  expect(signalUrl({ ws_url: null, host: kept, ws_port: 5066 })).toBe(`ws://${hostAndPort(kept, 5066)}`);
});

test.each(['fe80::1%eth0', '[10.0.0.1]', '::g', '2001:db8::1::2'])('a node at %s is told what to write', (host) => {
  const query = new URLSearchParams({ host, esl: '8021', sip: '5060', internode: '5080', ws: '5066' });
  expect(() => readNodeAddress(`/freeswitch/xml?${query}`)).toThrow('host must be an IP address without a zone');
});

test('a name where an address must stand is answered with what to write', () => {
  const url = '/freeswitch/xml?host=localhost&esl=8021&sip=5060&internode=5080&ws=70000';
  expect(() => readNodeAddress(url)).toThrow(
    "The node's URL: host must be an IP address without a zone, and no name (127.0.0.1 or ::1, not localhost): FreeSWITCH binds to it, " +
      'ws must be a port from 1 to 65535',
  );
});
