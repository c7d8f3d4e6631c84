/** The parts of start and test that can be held without starting anything. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseEvent } from '../../scripts/api/client';
import { startChild } from '../../scripts/child';
import { keepNode, pauseMs } from '../../scripts/nodes/keep-node';
import type { RealNode } from '../../scripts/nodes/launch-node';
import { planNodes, portsOf, xmlUrlOf } from '../../scripts/nodes/media-nodes';
import { findFreePort, isPortFree } from '../../scripts/stores/ports';
import { StartFault } from '../../scripts/project';
import { holdStateDir, keepSecrets } from '../../scripts/startup/run-state';
import { count } from '../../scripts/run-tests';
import { answerChallenge, parseChallenge } from '../../scripts/sip-phone/digest';
import { readStartOptions } from '../../scripts/startup/options';
import { until } from '../until';

const root = resolve(__dirname, '..', '..');
let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'switchyard-scripts-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('options', () => {
  test('flags win over the environment, which wins over defaults', () => {
    expect(readStartOptions([], {}).httpPort).toBe(8080);
    expect(readStartOptions([], { HTTP_PORT: '9000' }).httpPort).toBe(9000);
    expect(readStartOptions(['--http-port', '9001'], { HTTP_PORT: '9000' }).httpPort).toBe(9001);
  });
  test.each([[['--http-port', 'x']], [['--nodes', '0']], [['--what']], [['--once']]])('%p is refused', (args) => {
    expect(() => readStartOptions(args, {})).toThrow(StartFault);
  });
});

describe('ports', () => {
  test('a taken port is seen', async () => {
    const server = createServer();
    const port = await findFreePort(); // one that nobody is given when it is free again
    await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
    expect(await isPortFree(port)).toBe(false);
    await new Promise((done) => server.close(done));
    expect(await isPortFree(port)).toBe(true);
  });
  test('no two uses share one, and each names the setting that moves it', () => {
    const named = { POSTGRES_PORT: '5432', REDIS_PORT: '6379', OPERATIONS_PORT: '8090', NODES_PORT: '8088' };
    const options = readStartOptions([], named);
    const list = portsOf(options, planNodes(options, 'real'));
    expect(new Set(list.map(({ port }) => port)).size).toBe(list.length);
    expect(list).toHaveLength(13);
    expect(list.every(({ setting }) => /^[A-Z_]+( or --[a-z-]+)?$/.test(setting))).toBe(true);
  });
  test('a node’s address survives the query', () => {
    const [plan] = planNodes(readStartOptions([], {}), 'real');
    const url = new URL(xmlUrlOf(plan!, 'http://127.0.0.1:8080'));
    expect(url.searchParams.get('wsUrl')).toBe('ws://127.0.0.1:5066');
  });
});

describe('what is kept', () => {
  test('secrets are made once, and readable by their owner only', () => {
    const first = keepSecrets(folder, ['node-1']);
    const second = keepSecrets(folder, ['node-1', 'node-2']);
    expect(second.nodeSecrets['node-1']).toBe(first.nodeSecrets['node-1']);
    expect(second.nodeSecrets['node-2']).toBeDefined();
    expect({ ...second, nodeSecrets: {} }).toEqual({ ...first, nodeSecrets: {} });
    expect(statSync(join(folder, 'secrets.json')).mode & 0o777).toBe(0o600);
  });
  test('two starts can not work in one folder; what a crash left is taken over', () => {
    const release = holdStateDir(folder);
    expect(() => holdStateDir(folder)).toThrow(/already runs here/);
    release();
    writeFileSync(join(folder, 'start.pid'), `${process.pid} 1`); // the same number, another process
    holdStateDir(folder)();
  });
});

describe('children', () => {
  test('stop ends one, its output is kept, and its end is told', async () => {
    const child = startChild({
      name: 'sleeper',
      command: process.execPath,
      args: ['-e', 'console.log("here", process.pid); setInterval(() => 0, 1000)'],
      logFile: join(folder, 'child.log'),
    });
    while (!child.lastLines().includes('here')) await new Promise((done) => setTimeout(done, 20));
    expect(child.isRunning()).toBe(true);
    expect(child.lastLines()).toBe(`here ${await child.pid}`);
    await child.stop();
    expect(child.isRunning()).toBe(false);
  });
  test('one that does not listen is ended by force', async () => {
    const child = startChild({
      name: 'stubborn',
      command: process.execPath,
      args: ['-e', 'process.on("SIGTERM", () => 0); console.log("here"); setInterval(() => 0, 1000)'],
      logFile: join(folder, 'child.log'),
      stopTimeoutMs: 200,
    });
    while (!child.lastLines().includes('here')) await new Promise((done) => setTimeout(done, 20));
    await child.stop();
    expect((await child.ended).signal).toBe('SIGKILL');
  });
  function launcher(): { launched: (() => void)[]; launch: () => Promise<RealNode>; fail: { next: boolean } } {
    const launched: (() => void)[] = [];
    const fail = { next: false };
    const launch = async (): Promise<RealNode> => {
      if (fail.next) {
        fail.next = false;
        throw new Error('FreeSWITCH node-1 did not start:\nno memory');
      }
      let end!: (how: { code: number | null; signal: NodeJS.Signals | null }) => void;
      const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done) => (end = done));
      const die = (): void => end({ code: null, signal: 'SIGKILL' });
      launched.push(die);
      const rest = { dir: '/nowhere', logFile: 'node-1.log', lastLines: () => '', kill: () => undefined };
      return { pid: launched.length, ended, stop: async () => die(), ...rest };
    };
    return { launched, launch, fail };
  }

  test('a media node that has served comes back however soon it ends, also where a start fails', async () => {
    const said: string[] = [];
    const { launched, launch, fail } = launcher();
    const times = (count: number): Promise<unknown> => until(`${count} starts`, () => launched.length === count);
    const node = await keepNode({ name: 'node-1', launch, say: (line) => said.push(line), againMs: 1 });
    node.markServed();
    for (const count of [1, 2, 3]) {
      launched[count - 1]!();
      await times(count + 1);
    }
    fail.next = true;
    launched[3]!();
    await times(5);
    expect(node.isRunning()).toBe(true);
    expect(said[0]).toBe('node-1 exited and is restarted. Its output: node-1.log');
    expect(said).toContain('FreeSWITCH node-1 did not start:\nno memory');
    await node.stop();
    expect([node.isRunning(), launched.length]).toEqual([false, 5]);
  });

  test('a media node that ends before it ever served is a fault of its setup, and is not started again', async () => {
    const { launched, launch } = launcher();
    const node = await keepNode({ name: 'node-2', launch, say: () => undefined, againMs: 1 });
    launched[0]!();
    expect(await node.ended).toEqual({ code: null, signal: 'SIGKILL' });
    expect([node.isRunning(), launched.length]).toEqual([false, 1]);
  });

  test('a media node that ends again and again is waited for longer each time, a minute at most', () => {
    expect([0, 1, 2, 3, 10, 1000].map((ends) => pauseMs(ends))).toEqual([2000, 4000, 8000, 16_000, 60_000, 60_000]);
  });
  test('the exit code comes through', async () => {
    const child = startChild({ name: 'x', command: '/bin/sh', args: ['-c', 'exit 7'], logFile: join(folder, 'x.log') });
    expect((await child.ended).code).toBe(7);
  });
});

test('an event of the stream is read, a comment is not', () => {
  expect(parseEvent('id: 7\nevent: call.ended\ndata: {"a":\ndata: 1}')).toEqual({
    id: '7',
    type: 'call.ended',
    data: { a: 1 },
  });
  expect(parseEvent(': still here')).toBeUndefined();
});

test('the phone answers a challenge as RFC 2617 shows it', () => {
  const challenge = parseChallenge(
    'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
  );
  const answer = answerChallenge(challenge, {
    method: 'GET',
    uri: '/dir/index.html',
    username: 'Mufasa',
    password: 'Circle Of Life',
    cnonce: '0a4f113b',
  });
  expect(answer).toContain('response="6629fae49393a05397450978507c4ef1"');
});

test('a test file that can not be read counts as a failure, and so does a bad exit nobody explains', () => {
  const report = { numPassedTests: 3, numFailedTests: 1, numPendingTests: 0, numRuntimeErrorTestSuites: 1 };
  expect(count({ ...report, testResults: [] }, 1)).toEqual({ passed: 3, failed: 2, skipped: 0 });
  const clean = { ...report, numFailedTests: 0, numRuntimeErrorTestSuites: 0, testResults: [] };
  expect(count(clean, 1).failed).toBe(1);
  expect(count(clean, 0).failed).toBe(0);
});

test('src/config.md lists every setting of config.ts with its default, and no other', () => {
  const table = readFileSync(join(root, 'src', 'config.md'), 'utf8');
  const source = readFileSync(join(root, 'src', 'config.ts'), 'utf8');
  const schema = source.slice(source.indexOf('z.object({'), source.indexOf('export interface Config'));
  const settings = [...schema.matchAll(/^ {2}([A-Z][A-Z_]+): ([\s\S]*?),\n(?= {2}(?:[A-Z/]|$)|\}\))/gm)].map(
    ([, name, rule]) => [name!, /\.(?:default|prefault)\(('?)([^)']*)\1\)/.exec(rule!)?.[2] ?? ''],
  );
  expect(settings.length).toBeGreaterThan(10);
  const rows = [...table.matchAll(/^\| `([A-Z_]+)` \| (?:`([^`]*)`)?/gm)].map(([, name, value]) => [
    name!,
    value ?? '',
  ]);
  expect(rows).toEqual(settings);
});

test('every test that the page of threats names as its proof is there', () => {
  const page = readFileSync(join(root, 'test', 'e2e', 'security', 'README.md'), 'utf8');
  const named = [...page.matchAll(/\(((?:`[a-z0-9-/.]+`(?:, )?)+)\)/g)].flatMap(([, list]) =>
    list!.match(/[a-z0-9-/.]+/g)!,
  );
  expect(named.length).toBeGreaterThan(20);
  const places = (name: string): string[] =>
    ['', '.test.ts', '.real.test.ts'].map((end) => join(root, 'test', name + end));
  expect(named.filter((name) => !places(name).some((place) => existsSync(place)))).toEqual([]);
});
