/** Starts a real FreeSWITCH as a node of the pool, the same way for a local start and for the tests. */
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startChild } from './child';
import { projectRoot } from './project';

export interface RealNodeOptions {
  /** Path of the `freeswitch` program. */
  binary: string;
  /** The node's own folder: configuration, log, database; made where it is missing. */
  dir: string;
  name: string;
  /** Switchyard's XML entrance, with the node's ports in its query. */
  xmlUrl: string;
  /** The secret it was enrolled with (enrol.ts). */
  password: string;
  /** More of freeswitch/freeswitch.xml's variables: SWITCHYARD_HEARTBEAT_SECONDS, SWITCHYARD_RTP_FROM … */
  env?: Record<string, string>;
}

export interface RealNode {
  readonly pid: number;
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

/** Each is given to FreeSWITCH by name, so that nodes on one machine share nothing. */
const FOLDERS = ['log', 'db', 'run', 'temp', 'storage', 'cache', 'recordings', 'scripts', 'certs'] as const;
const PID_TIMEOUT_MS = 10_000;

/** A FreeSWITCH that is ready to be started. */
export interface PreparedNode {
  args: string[];
  env: NodeJS.ProcessEnv;
  pidFile: string;
  /** What it prints. */
  outputFile: string;
}

/** What a node is given of the environment it is started from: no key, token or address of ours is among it. */
const KEPT_VARIABLES =
  /^(PATH|HOME|USER|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|CURL_CA_BUNDLE|SSL_CERT_(FILE|DIR)|SWITCHYARD_(HEARTBEAT_SECONDS|RTP_FROM|RTP_TO|MAX_SESSIONS|SESSIONS_PER_SECOND|LOG_LEVEL|CA_FILE|XML_URL_2))$/;

export const keptEnvironment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => KEPT_VARIABLES.test(name)));

/** Lays out the node's folder, and says how its program is started there. */
export async function prepareRealNode(o: RealNodeOptions): Promise<PreparedNode> {
  const conf = join(o.dir, 'conf');
  await mkdir(o.dir, { recursive: true, mode: 0o700 }); // FreeSWITCH writes its configuration, password and all, into its log folder
  await rm(conf, { recursive: true, force: true });
  await cp(join(projectRoot(), 'freeswitch'), conf, { recursive: true });
  for (const folder of FOLDERS) await mkdir(join(o.dir, folder), { recursive: true });
  const pidFile = join(o.dir, 'run', 'freeswitch.pid');
  await rm(pidFile, { force: true });
  return {
    args: ['-nf', '-nc', '-np', '-nonat', '-conf', conf, ...FOLDERS.flatMap((f) => [`-${f}`, join(o.dir, f)])],
    env: {
      ...keptEnvironment(process.env),
      ...o.env,
      SWITCHYARD_XML_URL: o.xmlUrl,
      SWITCHYARD_NODE_NAME: o.name,
      SWITCHYARD_NODE_PASSWORD: o.password,
    },
    pidFile,
    outputFile: join(o.dir, 'log', 'output.log'),
  };
}

/** Starts it, and waits only until its process is known: when it serves, the pool says. It never outlives us. */
export async function launchRealNode(o: RealNodeOptions): Promise<RealNode> {
  const { args, env, pidFile, outputFile } = await prepareRealNode(o);
  const child = startChild({
    name: o.name,
    command: o.binary,
    args,
    cwd: o.dir,
    env,
    logFile: outputFile,
    stopTimeoutMs: 8_000,
  });
  const pid = await readPid(pidFile, child.isRunning);
  if (pid === undefined) {
    await child.stop();
    throw new Error(`FreeSWITCH ${o.name} did not start:\n${child.lastLines()}`);
  }
  return {
    pid,
    ended: child.ended,
    logFile: join(o.dir, 'log', 'freeswitch.log'),
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

async function readPid(file: string, isRunning: () => boolean): Promise<number | undefined> {
  const deadline = Date.now() + PID_TIMEOUT_MS;
  while (isRunning() && Date.now() < deadline) {
    const pid = Number(await readFile(file, 'utf8').catch(() => ''));
    if (pid > 0) return pid;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return undefined;
}
