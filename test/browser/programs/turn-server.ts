/** A coturn of the test's own on loopback, with time-limited credentials as docker-compose.yml sets it up. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { findFreePort } from '../../../scripts/stores/ports';

export interface TurnServer {
  url: string;
  secret: string;
  /** What it wrote so far. */
  log(): string;
  stop(): Promise<void>;
}

/** TURNSERVER_BIN, or the `turnserver` on PATH. */
export function turnServerBinary(): string | undefined {
  const named = process.env.TURNSERVER_BIN;
  if (named) return existsSync(named) ? named : undefined;
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, 'turnserver')).find((file) => existsSync(file));
}

const START_MS = 10_000;

/** @throws where it does not listen in time */
export async function startTurnServer(binary: string, dir: string): Promise<TurnServer> {
  const port = await findFreePort();
  const secret = randomBytes(24).toString('hex');
  const options = {
    'listening-ip': '127.0.0.1',
    'relay-ip': '127.0.0.1',
    'listening-port': port,
    'min-port': 27_000,
    'max-port': 27_199,
    realm: 'turn.test',
    'static-auth-secret': secret,
    'log-file': 'stdout',
    pidfile: join(dir, 'turnserver.pid'),
    userdb: join(dir, 'turnserver.sqlite'),
  };
  const given = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  const switches = ['use-auth-secret', 'no-cli', 'no-tls', 'no-dtls', 'allow-loopback-peers', 'verbose', 'fingerprint'];
  const args = ['-n', ...given, ...switches.map((name) => `--${name}`)];
  const child = spawn(binary, args, { env: { PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (text += data.toString()));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const until = Date.now() + START_MS;
  while (!(await listens(port))) {
    if (Date.now() > until || child.exitCode !== null) {
      child.kill('SIGKILL');
      throw new Error(`turnserver does not listen:\n${text.slice(-2000)}`);
    }
    await sleep(50);
  }
  return {
    url: `turn:127.0.0.1:${port}?transport=udp`,
    secret,
    log: () => text,
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
