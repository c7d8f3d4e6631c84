import { findAddress, isAllowedAddress, readTarget } from '../../../src/domains/relays/target';

const PUBLIC = { allowPrivate: false, allowedHosts: [] };

test.each([
  ['rtmp://live.example.com/app', 'key', 'live.example.com', 1935, 'app', 'rtmp://live.example.com/app'],
  ['rtmps://live.example.com/app/sub', 'key', 'live.example.com', 443, 'app/sub', 'rtmps://live.example.com/app/sub'],
  ['RTMP://Live.Example.com:19350/app/', 'key', 'live.example.com', 19350, 'app', 'rtmp://live.example.com:19350/app'],
  ['rtmp://[2001:4860::1]:1936/app', 'key', '2001:4860::1', 1936, 'app', 'rtmp://[2001:4860::1]:1936/app'],
])('%s is read', (url, key, host, port, app, shown) => {
  const read = readTarget(url, key);
  expect(read.target).toMatchObject({ host, port, app, url: shown });
  expect(read.streamKey).toBe('key');
});

test('where no key is given apart, the end of the path is the key, and is not shown', () => {
  const { target, streamKey } = readTarget('rtmp://live.example.com/app/secret-key', undefined);
  expect(streamKey).toBe('secret-key');
  expect(JSON.stringify(target)).not.toContain('secret');
});

test.each([
  ['http://live.example.com/app', 'key'],
  ['file:///etc/passwd', 'key'],
  ['rtmp://live.example.com', 'key'],
  ['rtmp://live.example.com/', 'key'],
  ['rtmp://user:password@live.example.com/app', 'key'],
  ['rtmp://live.example.com/app?token=secret', 'key'],
  ['rtmp://live.example.com:0/app', 'key'],
  ['rtmp://live.example.com:99999/app', 'key'],
  ['rtmp://live.example.com/app path', 'key'],
  ['rtmp://live.example.com/app\nrtmp://other', 'key'],
  ['rtmp://${system(id)}/app', 'key'],
  ['rtmp://live.example.com/app', 'a key with blanks'],
  ['rtmp://live.example.com/app', undefined],
])('%s with key %s is refused, and not repeated', (url, key) => {
  expect(() => readTarget(url, key)).toThrow(expect.objectContaining({ code: 'unprocessable' }));
  try {
    readTarget(url, key);
  } catch (error) {
    expect((error as Error).message).not.toMatch(/secret|password|passwd/);
  }
});

test.each(
  (
    '127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 ' +
    '224.0.0.1 255.255.255.255 ::1 :: fe80::1 fc00::1 fd00:ec2::254 ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 ' +
    '64:ff9b::7f00:1 2002:7f00:1::1 ff02::1 not-an-address'
  )
    .split(' ')
    .map((address) => [address]),
)('%s is forbidden', (address) => {
  expect(isAllowedAddress(PUBLIC, 'a.example.com', address)).toBe(false);
});

test.each([['8.8.8.8'], ['172.32.0.1'], ['2606:4700::1111'], ['::ffff:8.8.8.8']])('%s is allowed', (address) => {
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

test('a name with one forbidden address among good ones is refused whole', async () => {
  const resolve = async (): Promise<string[]> => ['8.8.8.8', '127.0.0.1'];
  await expect(findAddress(PUBLIC, 'a.example.com', resolve, 1000)).rejects.toThrow(/forbidden/);
});

test('a name that leads elsewhere at the second look is looked up once only', async () => {
  const answers = [['8.8.8.8'], ['127.0.0.1']];
  const resolve = async (): Promise<string[]> => answers.shift()!;
  expect(await findAddress(PUBLIC, 'a.example.com', resolve, 1000)).toBe('8.8.8.8');
  expect(answers).toHaveLength(1);
});

test('a name nobody knows, and one nobody answers for, are said so in time', async () => {
  const unknown = (): Promise<string[]> => Promise.reject(new Error('ENOTFOUND'));
  await expect(findAddress(PUBLIC, 'a.example.com', unknown, 1000)).rejects.toThrow(/can not be resolved/);
  await expect(findAddress(PUBLIC, 'a.example.com', () => new Promise(() => {}), 50)).rejects.toThrow(/in time/);
});
