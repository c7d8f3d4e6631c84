/** Runs a private Redis: no npm package ships one, so it is the machine's own, installed with apt where it is missing. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startChild, type Child } from '../child';
import { findFreePort } from './ports';
import { StartFault } from '../project';

const START_TIMEOUT_MS = 30_000;

export interface RedisOptions {
  dataDir: string;
  password: string;
  logFile: string;
  port?: number;
  /** For tests: nothing is written to the disk. */
  ephemeral?: boolean;
  /** Told what takes a while. */
  report: (line: string) => void;
}

export interface RunningRedis {
  child: Child;
  port: number;
  url: string;
}

export async function startRedis(options: RedisOptions): Promise<RunningRedis> {
  const program = findProgram('redis-server') ?? installRedis(options.report);
  const port = options.port ?? (await findFreePort());
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  // In a file, since every user of the machine can read a command line.
  const settings = join(options.dataDir, 'redis.conf');
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${options.password}`,
    `dir "${options.dataDir}"`,
    'maxmemory-policy noeviction',
    'save ""',
    `appendonly ${options.ephemeral ? 'no' : 'yes'}`,
  ];
  writeFileSync(settings, `${lines.join('\n')}\n`, { mode: 0o600 });
  chmodSync(settings, 0o600);
  const child = startChild({
    name: 'Redis',
    command: program,
    args: [settings],
    cwd: options.dataDir,
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    logFile: options.logFile,
  });
  const url = `redis://:${options.password}@127.0.0.1:${port}`;
  await waitUntilAnswering(url, child);
  return { child, port, url };
}

/** The program's full path, or undefined where PATH has none. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}

function installRedis(report: (line: string) => void): string {
  const otherwise = 'Install it ("apt-get install redis-server", "brew install redis"), or set REDIS_URL.';
  if (!findProgram('apt-get')) throw new StartFault(`redis-server was not found. ${otherwise}`);
  if (process.getuid?.() !== 0)
    throw new StartFault(`redis-server was not found, and only root can install it with apt-get. ${otherwise}`);
  report('Redis is missing: installing Debian’s redis-server…');
  // RUNLEVEL=1 keeps Debian from starting its own service: ours is a private one.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const apt = (...args: string[]): ReturnType<typeof spawnSync> =>
    spawnSync('apt-get', ['-qq', ...args], { env, timeout: 300_000, encoding: 'utf8' });
  apt('update');
  const done = apt('install', '-y', '--no-install-recommends', 'redis-server');
  const program = findProgram('redis-server');
  if (!program) throw new StartFault(`apt-get could not install redis-server:\n${String(done.stderr)}\n${otherwise}`);
  return program;
}

async function waitUntilAnswering(url: string, child: Child): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  redis.on('error', () => undefined);
  try {
    for (;;) {
      try {
        await redis.connect();
        await redis.ping();
        return;
      } catch {
        if (!child.isRunning()) throw new StartFault(`Redis ended at once:\n${child.lastLines()}`);
        if (Date.now() > deadline) throw new StartFault(`Redis does not answer:\n${child.lastLines()}`);
        await sleep(30);
      }
    }
  } finally {
    redis.disconnect();
  }
}
