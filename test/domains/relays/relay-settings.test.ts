import { readConfig } from '../../../src/config';

const read = (env: Record<string, string>) =>
  readConfig({
    DATABASE_URL: 'postgres://localhost/x',
    REDIS_URL: 'redis://localhost',
    SWITCHYARD_SECRET: Buffer.alloc(32).toString('base64'),
    NODE_JOIN_TOKEN: 'a-token-of-sixteen',
    ...env,
  });

test('relays go to ports that RTMP is served at, and listen on loopback, where nothing else is said', () => {
  expect(read({})).toMatchObject({
    relayPorts: [
      [1935, 1935],
      [443, 443],
      [80, 80],
    ],
    relayHost: '127.0.0.1',
    relayListenHost: undefined,
    relayAllowPrivate: false,
  });
});

test('ports are read one by one and as ranges', () => {
  expect(read({ RELAY_PORTS: '1935, 19350-19360' }).relayPorts).toEqual([
    [1935, 1935],
    [19_350, 19_360],
  ]);
});

test.each(['rtmp', '0', '70000', '10-5', '1935,,80', '1935-', '-1'])('%s is no list of ports', (text) => {
  expect(() => read({ RELAY_PORTS: text })).toThrow(/RELAY_PORTS: must be ports or ranges/);
});

test('networks that are none are said at the start, and not when the first relay is asked for', () => {
  expect(read({ RELAY_ALLOWED_HOSTS: 'studio.local,10.0.0.0/8' }).relayAllowedHosts).toHaveLength(2);
  expect(() => read({ RELAY_ALLOWED_HOSTS: '10.0.0.0/99' })).toThrow(/RELAY_ALLOWED_HOSTS/);
});
