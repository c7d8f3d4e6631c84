/** What an operator sees of `scripts/pool`, run as they run it, against a Switchyard with simulated nodes. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startTimeOf } from '../../../scripts/startup/run-state';
import { useStores } from '../../stores';
import { ADMIN_KEY, DOMAIN, startApp, passwordOf, until, type App } from '../harness';

/** Each command is a process that has to be loaded first: seconds, on a slow machine many. */
jest.setTimeout(600_000);
let app: App;
let stateDir: string;
const started: { pid: number; startTime: string }[] = [];
afterAll(async () => {
  for (const { pid, startTime } of started) if (startTimeOf(pid) === startTime) process.kill(pid, 'SIGKILL');
  await app?.close();
  rmSync(stateDir, { recursive: true, force: true });
});
const stores = useStores();

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'switchyard-pool-'));
  app = await startApp(stores);
  await app.addNode('base-1', { capacity: 100 });
  await app.addNode('base-2', { capacity: 100 });
});

interface Run {
  code: number | null;
  out: string;
  err: string;
}

/** Below what systems give to connections (see scripts/stores/ports.ts), and for each of jest's workers in a part of its own. */
const portBase = String(
  12_000 + (Number(process.env.JEST_WORKER_ID ?? 0) % 4) * 1000 + Math.floor(Math.random() * 40) * 20,
);

function pool(args: string[], o: { env?: Record<string, string>; interruptAt?: RegExp } = {}): Promise<Run> {
  return new Promise((done, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/operate/main.ts', ...args], {
      cwd: resolve(__dirname, '..', '..', '..'),
      env: {
        ...process.env,
        SWITCHYARD_URL: app.url,
        SWITCHYARD_API_KEY: ADMIN_KEY,
        STATE_DIR: stateDir,
        POOL_PORT_BASE: portBase,
        SWITCHYARD_HEARTBEAT_SECONDS: '0.5',
        ...o.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const run: Run = { code: null, out: '', err: '' };
    const timer = setTimeout(() => child.kill('SIGKILL'), 300_000);
    let interrupted = false;
    child.stdout.on('data', (chunk) => {
      run.out += String(chunk);
      if (interrupted || !o.interruptAt?.test(run.out)) return;
      interrupted = true;
      child.kill('SIGINT');
    });
    child.stderr.on('data', (chunk) => (run.err += String(chunk)));
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      done({ ...run, code });
    });
  });
}

interface Managed {
  name: string;
  pid: number;
  startTime: string;
  controlUrl: string;
}

async function status(): Promise<{ nodes: { name: string; state: string; liveCalls: number }[]; managed: Managed[] }> {
  const run = await pool(['status', '--json']);
  if (run.code !== 0) throw new Error(run.err);
  return JSON.parse(run.out);
}

/** A phone at a node that the command started, which is another process. @returns what makes it leave the node */
async function addPhone(node: Managed, username: string): Promise<() => Promise<unknown>> {
  await app.addUser(username);
  const phone = { username, domain: DOMAIN, password: passwordOf(username), behaviour: { answerAfterMs: 20 } };
  const answer = await fetch(`${node.controlUrl}/nodes/${node.name}/phones`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(phone),
  });
  if (answer.status !== 201) throw new Error(await answer.text());
  await until(`${username} is registered`, async () => {
    const { body } = await app.api('GET', `/v1/users?username=${username}&domain=${DOMAIN}`);
    return body.items[0].registrations.length > 0;
  });
  const { id } = (await answer.json()) as { id: string };
  return () => fetch(`${node.controlUrl}/nodes/${node.name}/phones/${id}`, { method: 'DELETE' });
}

test('what is wrong is said in one line, with what to do', async () => {
  const unknown = await pool(['shrink']);
  expect(unknown).toMatchObject({ code: 1, out: '' });
  expect(unknown.err).toContain('No such command: "shrink".');
  expect((await pool(['drain', 'nowhere'])).err.trim()).toBe('No such node: "nowhere". Known: base-1, base-2.');
  const lost = await pool(['status'], { env: { SWITCHYARD_URL: 'http://127.0.0.1:9' } });
  expect(lost).toMatchObject({
    code: 1,
    err: expect.stringContaining('Switchyard does not answer at http://127.0.0.1:9') as string,
  });
  expect((await pool(['remove', 'base-1'])).err).toContain('base-1 serves. First: ./scripts/pool drain base-1 --wait');
});

test('status is a table that a person reads, and JSON that a program reads', async () => {
  const { out, code } = await pool(['status']);
  expect(code).toBe(0);
  expect(out).toMatch(/^NODE +STATE +ZONE +CALLS +ROOMS +PHONES +UNITS +IDLE CPU/);
  expect(out).toMatch(/^base-1 +serving +– +0 +0 +0 +0\/100 +95 % +0\/1000 +\d+ s +1\.10\.12/m);
  expect(out).toMatch(/^Policy least_loaded\. Take away base-2: 0 % of 200 units are claimed/m);
  expect((await status()).nodes.map((n) => n.state)).toEqual(['serving', 'serving']);
});

test('scale 4, then scale 2 with calls in progress: no call is cut off, and nothing is left behind', async () => {
  const up = await pool(['scale', '4', '--kind', 'simulated']);
  expect(up.err).toBe('');
  expect(up.code).toBe(0);
  const { nodes, managed } = await status();
  started.push(...managed);
  expect(nodes.map((n) => `${n.name} ${n.state}`)).toEqual([
    'base-1 serving',
    'base-2 serving',
    'pool-1 serving',
    'pool-2 serving',
  ]);

  const calls: string[] = [];
  const leave: (() => Promise<unknown>)[] = [];
  for (const node of managed) {
    leave.push(await addPhone(node, `at-${node.name}`));
    const { id } = await app.call(`user:at-${node.name}`, '9196');
    calls.push(id);
    const answered = await app.callIs(id, 'answered');
    expect(answered.node).toBe(node.name);
  }
  const why = await pool(['explain', calls[0]!]);
  expect(why.out).toMatch(/^Attempt 1, .*: pool-1\n {2}Policy least_loaded: the node with the best score/);
  expect(why.out).toMatch(/pool-1: chosen, score [\d.]+ = .*the caller's phone is registered there/);
  const whatIf = await pool(['simulate', '--remove', 'pool-1', '--calls', '500']);
  expect(whatIf.out).toMatch(/^pool-1 +removed +1\/100 +–/m);
  expect(whatIf.out).toMatch(/^1 call that would have to move: it fits\.\n500 further calls: 202 would not fit\.$/m);

  const began = Date.now();
  const down = pool(['scale', '2']);
  await until(
    'both drain',
    async () => {
      const now = await status();
      return now.nodes.filter((n) => n.state === 'draining').length === 2;
    },
    120_000,
  );
  expect((await pool(['scale', '3'])).err).toContain('Another scripts/pool changes this pool');
  for (const id of calls) expect((await app.readCall(id)).state).toBe('answered');
  for (const id of calls) await app.hangUp(id);
  await until('only their phones are left', async () => {
    const { out } = await pool(['status']);
    return (out.match(/empty but for 1 phone/g) ?? []).length === 2;
  });
  expect((await status()).nodes).toHaveLength(4);
  for (const go of leave) await go();
  const done = await down;
  expect(done.err).toBe('');
  expect(done.code).toBe(0);
  expect(done.out).toMatch(/waiting for pool-[12]: 1 call, 0 rooms, \d channels?; pool-[12]/);
  for (const id of calls) {
    const call = await app.readCall(id);
    expect(call).toMatchObject({ outcome: 'answered', hangupCause: 'NORMAL_CLEARING' });
    expect(Date.parse(call.endedAt!)).toBeGreaterThan(began);
  }
  const after = await status();
  expect(after.nodes.map((n) => n.name)).toEqual(['base-1', 'base-2']);
  expect(after.managed).toEqual([]);
  for (const { pid, startTime } of managed) expect(startTimeOf(pid)).not.toBe(startTime);
  expect(readdirSync(join(stateDir, 'pool', 'nodes'))).toEqual([]);
});

test('Ctrl-C while it waits leaves the node draining with its call, and the next run goes on', async () => {
  expect((await pool(['add', '--name', 'extra', '--kind', 'simulated'])).out).toContain('extra: serves');
  const [extra] = (await status()).managed;
  started.push(extra!);
  const leave = await addPhone(extra!, 'at-extra');
  const { id } = await app.call('user:at-extra', '9196');
  await app.callIs(id, 'answered');
  const stopped = await pool(['scale', '2'], { interruptAt: /waiting for extra/ });
  expect(stopped).toMatchObject({ code: 3 });
  expect(stopped.out).toContain('extra still in use: draining, not stopped.');
  expect((await app.readCall(id)).state).toBe('answered');
  expect((await pool(['scale', '3'])).out).toContain('extra: takes calls again');
  const looked = await pool(['autoscale', '--once', '--min', '3', '--max', '3']);
  expect(looked.out).toMatch(/^\d\d:\d\d:\d\d keep: .* units are claimed, and 3 nodes must always serve\.$/m);
  await app.hangUp(id);
  await leave();
  expect((await pool(['scale', '2'])).code).toBe(0);
  expect((await status()).nodes.map((n) => n.name)).toEqual(['base-1', 'base-2']);
});

test('nodes that were started elsewhere are not stopped from here', async () => {
  const run = await pool(['scale', '1']);
  expect(run.code).toBe(1);
  expect(run.err).toContain('only 0 of them were started by this command');
  expect((await status()).nodes.every((n) => n.state === 'serving')).toBe(true);
});

test('a hook makes nodes wherever it likes: it is given what a node needs, and told when one goes', async () => {
  const hook = join(stateDir, 'hook.sh');
  const { writeFileSync, readFileSync } = await import('node:fs');
  writeFileSync(
    hook,
    `printf '%s %s %s %s\\n' "$1" "$2" "$SWITCHYARD_NODE_NAME" "$SWITCHYARD_XML_BASE_URL" >> "${hook}.log"; exit 7\n`,
  );
  const run = await pool(['add', '--provider', 'hook'], { env: { SWITCHYARD_POOL_HOOK: `sh ${hook}` } });
  expect(run.code).toBe(1);
  expect(run.err).toContain('The hook ended with 7');
  expect(readFileSync(`${hook}.log`, 'utf8')).toBe(`add pool-1 pool-1 ${app.url}/freeswitch/xml\n`);
  expect((await status()).managed).toEqual([]);
});
