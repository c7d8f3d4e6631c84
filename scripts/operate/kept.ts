/** Remembers which nodes were started here, so that another run of the command finds and stops them; one run at a time. */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { StartFault } from '../project';
import { holdFile, writePrivately } from '../startup/run-state';

/** A node that this command started, and how it is stopped. */
export interface KeptNode {
  name: string;
  provider: 'process' | 'compose' | 'hook';
  kind: 'real' | 'simulated';
  /** First of its twenty ports, and where its media begins; null where somebody else decides. */
  portBase: number | null;
  rtpFrom: number | null;
  zone: string;
  capacity: number;
  /** Of a local process, with the kernel's start time: a number alone may be another program's by now. */
  pid?: number;
  startTime?: string;
  logFile?: string;
  /** A simulated node's own control. */
  controlUrl?: string;
  /** What it was enrolled with; kept where its program is started again by somebody else (compose). */
  secret?: string;
  /** It is being drained in order to be removed. */
  leaving?: boolean;
}

export interface Kept {
  /** Folder of all that the command keeps. */
  readonly dir: string;
  list(): KeptNode[];
  find(name: string): KeptNode | undefined;
  save(node: KeptNode): void;
  forget(name: string): void;
  /** @throws StartFault where another run changes the pool now. @returns what gives the lock back */
  lock(): () => void;
}

export function openKept(stateDir: string): Kept {
  const dir = join(stateDir, 'pool');
  const nodesDir = join(dir, 'nodes');
  mkdirSync(nodesDir, { recursive: true, mode: 0o700 });
  const fileOf = (name: string): string => join(nodesDir, `${name}.json`);
  const read = (file: string): KeptNode => {
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as KeptNode;
    } catch {
      throw new StartFault(`${file} can't be read. Remove it if nothing of that name runs.`);
    }
  };
  return {
    dir,
    list: () =>
      readdirSync(nodesDir)
        .filter((name) => name.endsWith('.json'))
        .sort()
        .map((name) => read(join(nodesDir, name))),
    find: (name) => (readdirSync(nodesDir).includes(`${name}.json`) ? read(fileOf(name)) : undefined),
    save: (node) => writePrivately(fileOf(node.name), node),
    forget: (name) => rmSync(fileOf(name), { force: true }),
    lock: () =>
      holdFile(
        join(dir, 'lock'),
        (pid) => `Another scripts/pool changes this pool (process ${pid}). Wait for it, or stop it with Ctrl-C.`,
      ),
  };
}
