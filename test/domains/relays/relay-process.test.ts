import { existsSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { createRelayProcess } from '../../../src/domains/relays/process/relay-process';
import { createLogger } from '../../../src/infra/logger';
import { until } from '../../until';
import { useRelays } from './use-relays';

const here = useRelays({ silentSeconds: 3 });
const { addRoom, openSession, create, read, relayIs, types } = here;
const root = resolve(__dirname, '../../..');

/** A relay that is live, and the process that forwards it. */
async function startRelay(body: Record<string, unknown> = {}): Promise<{ id: string; pid: number }> {
  const room = await addRoom();
  await openSession(room);
  const { id } = await create(room, body);
  await relayIs(id, 'live');
  return { id, pid: here.relayProcess.pid! };
}

const isAlive = (pid: number): boolean => {
  // A process that was ended and not yet waited for is still in the table.
  const status = existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, 'utf8') : 'State:\tX';
  return !/State:\s+[ZX]/.test(status);
};

test('a relay comes back when the relay process is killed, and the gap is told, even where it may not be tried again', async () => {
  const { id, pid } = await startRelay({ maxRestarts: 0 });
  process.kill(pid, 'SIGKILL');
  const back = await until('it is live again', async () => {
    const relay = await read(id);
    return relay.restarts > 0 && relay.state === 'live' ? relay : undefined;
  });
  expect(back.gaps).toEqual([
    expect.objectContaining({
      reason: 'the relay process has ended; it is started again',
      to: expect.any(String),
    }),
  ]);
  expect(await types(id)).not.toContain('relay.failed');
  expect(here.node.lines.map((line) => line.split(' ')[3])).toEqual(['start', 'stop', 'start']); // the node was told
  expect(here.relayProcess.pid).not.toBe(pid);
  const before = here.target.mediaBytes;
  await until('it flows', () => here.target.mediaBytes > before + 50_000);
});

test('a relay process that is stuck is killed, and its relays come back', async () => {
  const { id, pid } = await startRelay();
  process.kill(pid, 'SIGSTOP');
  await until('it is live again', async () => {
    const relay = await read(id);
    return relay.restarts > 0 && relay.state === 'live';
  });
  expect(isAlive(pid)).toBe(false);
  expect(here.lines.join('\n')).toContain('the relay process is stuck; it is killed');
});

test('it has no key, password or address of ours in its environment, and ignores a signal to the group', async () => {
  process.env.SWITCHYARD_SECRET = 'what-nobody-else-needs';
  const { id, pid } = await startRelay();
  delete process.env.SWITCHYARD_SECRET;
  const names = readFileSync(`/proc/${pid}/environ`, 'utf8')
    .split('\0')
    .filter(Boolean)
    .map((line) => line.split('=')[0]!);
  // The last two: how fork() tells it where to talk to us.
  const allowed = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_DIR', 'SSL_CERT_FILE', 'TZ', 'NODE_CHANNEL_FD'];
  expect(names.filter((name) => !allowed.includes(name) && name !== 'NODE_CHANNEL_SERIALIZATION_MODE')).toEqual([]);
  process.kill(pid, 'SIGINT');
  process.kill(pid, 'SIGTERM');
  const before = here.target.mediaBytes;
  await until('it goes on', () => here.target.mediaBytes > before + 50_000);
  expect(await read(id)).toMatchObject({ state: 'live', restarts: 0 });
});

test('it is there only when it is needed, and ends with whoever started it', async () => {
  const own = createRelayProcess({ logger: createLogger('silent'), listen: null });
  expect(own.pid).toBeUndefined();
  const rules = { allowPrivate: true, allowedHosts: [], ports: [[1, 65_535]] as const, ownHosts: [] };
  const target = { secure: false, host: '127.0.0.1', port: here.target.port, app: 'live', url: 'rtmp://x/live' };
  await own.check(target, rules, 20_000);
  const pid = own.pid!;
  expect(isAlive(pid)).toBe(true);
  await own.stop();
  expect(isAlive(pid)).toBe(false);
  await expect(own.check(target, rules, 1000)).rejects.toThrow();
});

test('nothing that answers phones reads RTMP', () => {
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(file, 'utf8');
    for (const [, name] of text.matchAll(/(?:from|import|require)\s*\(?\s*'(\.[^']+)'/g)) {
      const found = resolve(dirname(file), name!);
      const next = [`${found}.ts`, `${found}/index.ts`].find((each) => existsSync(each));
      if (next) visit(next);
    }
  };
  visit(resolve(root, 'src/main.ts'));
  const paths = [...seen].map((file) => relative(root, file));
  expect(paths.length).toBeGreaterThan(100);
  expect(paths.filter((path) => /relays\/(rtmp\/|process\/(main|connect|forward)\.ts)/.test(path))).toEqual([]);
});
