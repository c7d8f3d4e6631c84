/** Starts a real FreeSWITCH as a node of the pool, the same way for a local start and for the tests. */
import { statSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { startChild } from '../child';
import { nodeEnvironment } from './node-environment';
import { fallbackDir, findClosedFolder, isReachable, nodeUser, type User } from './ordinary-user';
import { projectRoot, StartFault } from '../project';

export interface RealNodeOptions {
  /** Path of the `freeswitch` program. */
  binary: string;
  /** The node's own folder: configuration, log, database; made where it is missing. */
  dir: string;
  name: string;
  /** Switchyard's XML endpoint, with the node's ports in its query. */
  xmlUrl: string;
  /** The secret it was enrolled with (enrol.ts). */
  password: string;
  /** More of freeswitch/freeswitch.xml's variables: SWITCHYARD_HEARTBEAT_SECONDS, SWITCHYARD_RTP_FROM … */
  env?: Record<string, string>;
  /** The folder that its configuration is copied from; the project's own where it is left out. */
  configuration?: string;
  /** Modules of modules.conf.xml that it does not load, as on an image that has not all of them. */
  withoutModules?: readonly string[];
}

export interface RealNode {
  readonly pid: number;
  /** Its own folder, where it is after all. */
  readonly dir: string;
  /** Settles when it has ended, whatever the reason. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Its own log: what it did, channel by channel. */
  readonly logFile: string;
  /** The last lines it printed, to be shown when it failed to start. */
  lastLines(count?: number): string;
  stop(): Promise<void>;
  /** SIGKILL, SIGSTOP, SIGCONT: what a machine can do to it. */
  kill(signal: NodeJS.Signals): void;
}

/** Each is given to FreeSWITCH by name, so that nodes on one machine share nothing. It owns them, and nobody else enters. */
const FOLDERS = ['log', 'db', 'run', 'temp', 'storage', 'cache', 'recordings', 'scripts', 'certs'] as const;
const START_TIMEOUT_MS = 10_000;

/**
 * Its own files are nobody else's: it writes its whole configuration, password and all, into its log folder. As an
 * ordinary user it can't lift the limit of open files by itself.
 */
const CONFINED = `
umask 077
files=$(ulimit -Hn); [ "$files" != unlimited ] && [ "$files" -lt 65536 ] || files=65536
ulimit -Sn "$files"
exec "$@"
`;

/** A FreeSWITCH that is ready to be started. */
export interface PreparedNode {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** Whom it runs as; undefined: as we do. */
  user: User | undefined;
  /** Where its folder is after all. */
  dir: string;
  pidFile: string;
  /** What it prints. It is not in a folder of its own: we write there, and it could make it a link to anything. */
  outputFile: string;
}

/** Where a node's folder is: elsewhere where the user it runs as can't get to the wanted one. */
export function placeNode(wanted: string, user: User | undefined): string {
  const above = dirname(wanted);
  const closed = user && findClosedFolder(above, user);
  // The folder that nodes are kept in is ours, and opened for passing through.
  const canOpen = closed === above && statSync(above).uid === process.getuid?.();
  return closed && !canOpen ? fallbackDir(wanted, basename(wanted)) : wanted;
}

/**
 * Lays out the node's folder, and says how its program is started there. Where we are root the folder stays ours, and
 * the folders in it are the node's user's: the node can't put anything in the place of what we read or write.
 * @throws StartFault where the program is in a folder that this user may not enter
 */
export async function prepareRealNode(o: RealNodeOptions): Promise<PreparedNode> {
  const user = nodeUser();
  const closed = user && findClosedFolder(dirname(await realpath(o.binary)), user);
  if (closed)
    throw new StartFault(
      `FreeSWITCH runs as ${user.name} and not as root, and ${closed} is closed to that user: open it (chmod o+x), name another user with FREESWITCH_USER, or start as that user yourself. FREESWITCH_USER=root runs it as root all the same.`,
    );
  const dir = placeNode(o.dir, user);
  const conf = join(dir, 'conf');
  await mkdir(dir, { recursive: true, mode: user ? 0o711 : 0o700 });
  if (user) for (const folder of [dir, dirname(dir)]) await openForPassing(folder, user);
  await rm(conf, { recursive: true, force: true });
  await cp(o.configuration ?? join(projectRoot(), 'freeswitch'), conf, { recursive: true });
  if (o.withoutModules) await leaveOut(join(conf, 'autoload_configs', 'modules.conf.xml'), o.withoutModules);
  // No secret is in these files, and whoever we are must not keep the node's user from reading them.
  for (const entry of await readdir(conf, { recursive: true, withFileTypes: true }))
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  await chmod(conf, 0o755);
  for (const folder of FOLDERS) await makeOwnFolder(join(dir, folder), user);
  const pidFile = join(dir, 'run', 'freeswitch.pid');
  await rm(pidFile, { force: true });
  const folders = FOLDERS.flatMap((f) => [`-${f}`, join(dir, f)]);
  return {
    command: '/bin/sh',
    args: ['-c', CONFINED, o.name, o.binary, '-nf', '-nc', '-np', '-nonat', '-conf', conf, ...folders],
    env: {
      ...nodeEnvironment(process.env),
      HOME: dir,
      ...o.env,
      SWITCHYARD_XML_URL: o.xmlUrl,
      SWITCHYARD_NODE_NAME: o.name,
      SWITCHYARD_NODE_PASSWORD: o.password,
    },
    user,
    dir,
    pidFile,
    outputFile: join(dir, 'output.log'),
  };
}

async function leaveOut(file: string, modules: readonly string[]): Promise<void> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  await writeFile(file, lines.filter((line) => !modules.some((name) => line.includes(`"${name}"`))).join('\n'));
}

async function openForPassing(folder: string, user: User): Promise<void> {
  if (!isReachable(folder, user)) await chmod(folder, ((await stat(folder)).mode & 0o7777) | 0o011);
}

/** One that is not its user's yet was made by us, or by a start as root before: what is in it is handed over first. */
async function makeOwnFolder(folder: string, user: User | undefined): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (user && (await lstat(folder)).uid !== user.uid) {
    for (const name of await readdir(folder, { recursive: true })) await lchown(join(folder, name), user.uid, user.gid);
    await chown(folder, user.uid, user.gid);
  }
  await chmod(folder, 0o700);
}

/** Starts it, and waits only until its process is known: when it serves, the pool says. It never outlives us. */
export async function launchRealNode(o: RealNodeOptions): Promise<RealNode> {
  const { command, args, env, user, dir, pidFile, outputFile } = await prepareRealNode(o);
  const child = startChild({
    name: o.name,
    command,
    args,
    cwd: dir,
    env,
    user,
    logFile: outputFile,
    stopTimeoutMs: 8_000,
  });
  const pid = await child.pid;
  if (pid === undefined || !(await isThere(pidFile, child.isRunning))) {
    await child.stop();
    throw new Error(`FreeSWITCH ${o.name} did not start:\n${child.lastLines()}`);
  }
  return {
    pid,
    ended: child.ended,
    dir,
    logFile: join(dir, 'log', 'freeswitch.log'),
    lastLines: (count) => child.lastLines(count),
    stop: async () => {
      if (child.isRunning()) process.kill(pid, 'SIGCONT'); // one that was frozen could not hear us
      await child.stop();
    },
    kill: (signal) => {
      if (child.isRunning()) process.kill(pid, signal);
    },
  };
}

/** Only that the file is there counts: whoever breaks into the node could write any number into it. */
async function isThere(file: string, isRunning: () => boolean): Promise<boolean> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (isRunning() && Date.now() < deadline) {
    const found = await lstat(file).catch(() => undefined);
    if (found) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}
