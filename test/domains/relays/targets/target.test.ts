import { readTarget } from '../../../../src/domains/relays/targets/target';

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
