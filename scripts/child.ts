/** Starts programs so that none outlives us: each hangs on a pipe, and ends when that closes, even by kill -9. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';

/**
 * Waits for the program and for its own standard input at once. A process group of its own keeps Ctrl-C away from it,
 * so that we decide the order in which things stop.
 */
const KEEPER = `
exec 4<&0
signal=$1; shift
"$@" 3>&- 4<&- </dev/null & program=$!
echo "$program" >&3; exec 3>&-
( cat <&4 >/dev/null; kill -"$signal" "$program" 2>/dev/null ) >/dev/null 2>&1 & watcher=$!
exec 4<&-
wait "$program"; code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`;

export interface ChildOptions {
  name: string;
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Runs as this user; only root can ask for it. */
  user?: { uid: number; gid: number };
  /** What asks it to end; TERM where it is left out. */
  stopSignal?: 'TERM' | 'INT';
  stopTimeoutMs?: number;
  /** Where its output goes, appended. */
  logFile: string;
}

export interface Child {
  readonly name: string;
  readonly logFile: string;
  /** The program's own number, from whom started it: what a program says of itself may be another's. */
  readonly pid: Promise<number | undefined>;
  /** Settles when it has ended, whatever the reason. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly isRunning: () => boolean;
  /** The last lines it wrote, to be shown when it failed. */
  lastLines(count?: number): string;
  /** Asks it to end, and ends it by force when the time is over. */
  stop(): Promise<void>;
}

export function startChild(options: ChildOptions): Child {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = openSync(options.logFile, 'a', 0o600);
  const startsAt = fstatSync(log).size; // former runs wrote what is before
  const process_: ChildProcess = spawn(
    '/bin/sh',
    ['-c', KEEPER, options.name, options.stopSignal ?? 'TERM', options.command, ...options.args],
    {
      env: options.env ?? process.env,
      cwd: options.cwd,
      detached: true,
      stdio: ['pipe', log, log, 'pipe'],
      ...(options.user ?? {}),
    },
  );
  closeSync(log);
  let running = true;
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    process_.once('error', () => {
      running = false;
      resolve({ code: 127, signal: null });
    });
    process_.once('exit', (code, signal) => {
      running = false;
      process_.stdin?.destroy();
      resolve({ code, signal });
    });
  });
  process_.stdin?.on('error', () => undefined); // it ended before we closed its pipe
  const stop = async (): Promise<void> => {
    if (!running) return;
    process_.stdin?.end();
    const timer = setTimeout(() => killGroup(process_.pid), options.stopTimeoutMs ?? 10_000);
    await ended;
    clearTimeout(timer);
  };
  return {
    name: options.name,
    logFile: options.logFile,
    pid: readPid(process_.stdio[3] as Readable),
    ended,
    isRunning: () => running,
    lastLines: (count = 15) => tail(options.logFile, startsAt, count),
    stop,
  };
}

/** Undefined where the keeper itself could not be started. */
async function readPid(from: Readable): Promise<number | undefined> {
  let text = '';
  try {
    for await (const chunk of from) text += String(chunk);
  } catch {
    return undefined;
  }
  return Number(text.trim()) || undefined;
}

function killGroup(pid: number | undefined): void {
  if (!pid) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it ended in the meantime
  }
}

/** @param from where this run's output starts in the file, in bytes */
function tail(file: string, from: number, count: number): string {
  try {
    return readFileSync(file).subarray(from).toString('utf8').trimEnd().split('\n').slice(-count).join('\n');
  } catch {
    return '';
  }
}
