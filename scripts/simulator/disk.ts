/** The folder of one simulated node: what it records stays there over a restart, and nothing outside of it is touched. */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';

export interface Disk {
  /** Made when it is first asked for. */
  readonly folder: string;
  readonly recordings: string;
  /** FreeSWITCH's log_dir. */
  readonly logs: string;
  /** Where mod_json_cdr leaves the records that it could not send. */
  readonly leftRecords: string;
  /** Whether a path lies in it. */
  owns(path: string): boolean;
  /** Takes the folder away with all that is in it. */
  remove(): void;
}

const made = new Set<string>();
let sweeping = false;

function sweepAtExit(): void {
  if (sweeping) return;
  sweeping = true;
  process.once('exit', () => made.forEach((folder) => rmSync(folder, { recursive: true, force: true })));
}

export function createDisk(): Disk {
  let folder: string | undefined;
  const open = (): string => {
    if (folder === undefined || !existsSync(folder)) {
      folder = mkdtempSync(join(realpathSync(tmpdir()), 'simulated-node-'));
      made.add(folder);
      sweepAtExit();
      mkdirSync(join(folder, 'recordings'));
      mkdirSync(join(folder, 'log', 'json_cdr'), { recursive: true });
    }
    return folder;
  };
  return {
    get folder() {
      return open();
    },
    get recordings() {
      return join(open(), 'recordings');
    },
    get logs() {
      return join(open(), 'log');
    },
    get leftRecords() {
      return join(open(), 'log', 'json_cdr');
    },
    owns: (path) => resolve(path).startsWith(open() + sep),
    remove() {
      if (folder === undefined) return;
      rmSync(folder, { recursive: true, force: true });
      made.delete(folder);
      folder = undefined;
    },
  };
}
