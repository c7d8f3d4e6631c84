/** The proxy that freeswitch/README.md shows, run by nginx where there is one: it publishes the API, pages and documents, and nothing else. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startChild, type Child } from '../../scripts/child';
import { findFreePort, isPortFree } from '../../scripts/stores/ports';
import { findProgram } from '../../scripts/stores/redis';
import { describeUnless } from '../real-node';
import { until } from '../until';

const nginx = findProgram('nginx');
const readme = readFileSync(resolve(__dirname, '..', '..', 'freeswitch', 'README.md'), 'utf8');

describeUnless(!nginx && 'no nginx found on PATH', 'the proxy of freeswitch/README.md', () => {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-proxy-'));
  const upstreams: { server: Server; asked: { url: string; headers: NodeJS.Dict<string | string[]> }[] }[] = [];
  let child: Child;
  let ports: { api: number; nodes: number };

  beforeAll(async () => {
    for (let i = 0; i < 2; i += 1) {
      const asked: (typeof upstreams)[number]['asked'] = [];
      const server = createServer((from, to) => {
        asked.push({ url: from.url!, headers: from.headers });
        from.resume();
        to.end('passed on');
      });
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      upstreams.push({ server, asked });
    }
    ports = { api: await findFreePort(), nodes: await findFreePort() };
    const portOf = (i: number): number => (upstreams[i]!.server.address() as AddressInfo).port;
    const shown = /```nginx\n([^]*?)\n *```/.exec(readme)![1]!;
    const block = shown
      .replace('listen 443 ssl;', `listen 127.0.0.1:${ports.api};`)
      .replace('listen 10.0.0.1:8443 ssl;', `listen 127.0.0.1:${ports.nodes};`)
      .replace('allow 10.0.0.0/8;', 'allow 127.0.0.1;')
      .replaceAll(/ssl_certificate(_key)? …;/g, '')
      .replaceAll(/ # .*/g, '')
      .replaceAll(/127\.0\.0\.1:808[01]/g, `127.0.0.1:${portOf(0)}`)
      .replaceAll(/127\.0\.0\.1:808[89]/g, `127.0.0.1:${portOf(1)}`);
    expect(block).not.toMatch(/…|808\d| 443/);
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${dir}/${name};`,
    );
    const conf = join(dir, 'nginx.conf');
    writeFileSync(
      conf,
      `daemon off; master_process off; pid ${dir}/pid; error_log stderr warn;\nevents {}\nhttp { access_log off; ${temp.join(' ')}\n${block}\n}\n`,
    );
    child = startChild({
      name: 'nginx',
      command: nginx!,
      args: ['-e', 'stderr', '-c', conf],
      logFile: join(dir, 'log'),
    });
    await until(
      () => `nginx listens:\n${child.lastLines()}`,
      async () => !(await isPortFree(ports.api)) && !(await isPortFree(ports.nodes)),
    );
  });
  afterAll(async () => {
    await child?.stop();
    for (const { server } of upstreams) server.close();
    rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(() => upstreams.forEach(({ asked }) => void asked.splice(0)));

  /** As the path stands: fetch() would make it plain before it is sent. */
  const ask = (port: number, path: string, headers: Record<string, string> = {}): Promise<number | undefined> =>
    new Promise((done, fail) => {
      const asked = request({ host: '127.0.0.1', port, path, headers }, (answer) => {
        answer.resume();
        done(answer.statusCode);
      });
      asked.once('error', fail);
      asked.end();
    });

  test.each([
    '/v1/calls',
    '/v1/events?since=1',
    '/docs',
    '/openapi.json',
    '/phone',
    '/phone/x.js',
    '/console',
    '/embed.js',
  ])('publishes %s', async (path) => {
    expect(await ask(ports.api, path)).toBe(200);
    expect(upstreams[0]!.asked.map(({ url }) => url)).toEqual([path]);
  });

  test.each([
    '/',
    '/metrics',
    '/readyz',
    '/freeswitch/xml',
    '/freeswitch/cdr',
    '/freeswitch/drain',
    '/freeswitch/recordings/x?token=y',
    '/v1',
    '/v1/../metrics',
    '/v1/..%2fmetrics',
    '/v1/%2e%2e/freeswitch/xml',
    '//metrics',
    '/docs/../freeswitch/xml',
    '/docsx',
    '/phonebook',
  ])('publishes nothing at %s', async (path) => {
    expect(await ask(ports.api, path)).toBe(404);
    expect(upstreams.map(({ asked }) => asked)).toEqual([[], []]);
  });

  test('says how it was asked, and lets a WebSocket through', async () => {
    await ask(ports.api, '/v1/events', { upgrade: 'websocket', connection: 'upgrade', host: 'sy.example.org' });
    expect(upstreams[0]!.asked[0]!.headers).toMatchObject({
      host: 'sy.example.org',
      upgrade: 'websocket',
      connection: 'upgrade',
      'x-forwarded-proto': 'http',
      'x-forwarded-for': '127.0.0.1',
    });
  });

  test('gives nodes their doors at an address of their own, and nothing else there', async () => {
    expect(await ask(ports.nodes, '/freeswitch/xml?host=10.0.0.7', { host: 'nodes.example.org' })).toBe(200);
    expect(upstreams[1]!.asked[0]).toMatchObject({
      url: '/freeswitch/xml?host=10.0.0.7',
      headers: { host: 'nodes.example.org', 'x-forwarded-proto': 'http' },
    });
    for (const path of ['/v1/calls', '/metrics', '/'])
      expect([path, await ask(ports.nodes, path)]).toEqual([path, 404]);
    expect(upstreams[0]!.asked).toEqual([]);
  });
});
