/** What `start` keeps between runs (secrets) and shows during one (run.json), readable by its owner only. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartFault } from '../project';

/** Made at the first start, kept for all later ones. */
export interface KeptSecrets {
  /** Encrypts what must be readable, signs tokens between nodes. */
  switchyardSecret: string;
  apiKey: string;
  storePassword: string;
  /** By node name. */
  nodeSecrets: Record<string, string>;
}

export interface RunningNode {
  name: string;
  kind: 'real' | 'simulated';
  eslPort: number;
  sipPort: number;
  wsUrl: string;
}

/** The shape of run.json. */
export interface RunFile {
  url: string;
  /** /healthz, /readyz and /metrics. */
  operationsUrl: string;
  /** Where nodes ask; the same as `url` but with NODES_PORT. */
  nodesUrl: string;
  apiKey: string;
  databaseUrl: string;
  redisUrl: string;
  nodes: RunningNode[];
  /** The process to stop with Ctrl-C's signal. */
  pid: number;
  simulatorUrl?: string;
}

/** Reads the secrets, making what is not there yet. */
export function keepSecrets(stateDir: string, nodeNames: string[]): KeptSecrets {
  mkdirSync(stateDir, { recursive: true, mode: 0o711 });
  const file = join(stateDir, 'secrets.json');
  let kept: Partial<KeptSecrets> = {};
  if (existsSync(file)) {
    try {
      kept = JSON.parse(readFileSync(file, 'utf8')) as Partial<KeptSecrets>;
    } catch {
      throw new StartFault(
        `${file} is no longer valid JSON. The data can't be read without it; see scripts/startup/README.md, "Reset".`,
      );
    }
  }
  const secret = (bytes = 24): string => randomBytes(bytes).toString('base64url');
  const secrets: KeptSecrets = {
    switchyardSecret: kept.switchyardSecret ?? randomBytes(32).toString('base64'),
    apiKey: kept.apiKey ?? `sy_${secret()}`,
    storePassword: kept.storePassword ?? randomBytes(16).toString('hex'),
    nodeSecrets: { ...Object.fromEntries(nodeNames.map((name) => [name, secret()])), ...kept.nodeSecrets },
  };
  writePrivately(file, secrets);
  return secrets;
}

export function writeRunFile(stateDir: string, run: RunFile): void {
  writePrivately(join(stateDir, 'run.json'), run);
}

export function removeRunFile(stateDir: string): void {
  rmSync(join(stateDir, 'run.json'), { force: true });
}

/**
 * Makes sure that one `start` at a time works in this folder.
 * @returns what gives the folder free again
 * @throws StartFault where another one is at work
 */
export function holdStateDir(stateDir: string): () => void {
  mkdirSync(stateDir, { recursive: true, mode: 0o711 });
  return holdFile(
    join(stateDir, 'start.pid'),
    (pid) => `Switchyard already runs here (process ${pid}). Stop it first, or set STATE_DIR.`,
  );
}

/** Keeps a file for one process; what a crash left is taken over. @throws StartFault with what `refusal` says */
export function holdFile(file: string, refusal: (pid: string) => string): () => void {
  const mine = `${process.pid} ${startTimeOf(process.pid) ?? ''}`;
  for (;;) {
    try {
      writeFileSync(file, mine, { flag: 'wx', mode: 0o600 });
      return () => rmSync(file, { force: true });
    } catch (fault) {
      if ((fault as { code?: string }).code !== 'EEXIST') throw fault;
    }
    const [pid = '', startTime] = readFileSync(file, 'utf8').split(' ');
    // A number alone proves nothing: after a crash it may be another program's.
    if (startTimeOf(Number(pid)) === startTime) throw new StartFault(refusal(pid));
    rmSync(file, { force: true });
  }
}

/** When a process began, in the kernel's own count; undefined where there is no such process. */
export function startTimeOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19];
  } catch {
    try {
      process.kill(pid, 0); // no /proc here: that it is alive must do
      return '';
    } catch {
      return undefined;
    }
  }
}

/** Readable by its owner only, and never half written. */
export function writePrivately(file: string, content: object): void {
  const half = `${file}.${process.pid}`;
  writeFileSync(half, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(half, file);
}
