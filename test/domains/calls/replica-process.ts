/** Switchyard as a process of its own, that a test can kill as a machine would, and start again at the same address. */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { waitFor } from '../../../scripts/api/client';
import { findFreePort } from '../../../scripts/stores/ports';

export interface ReplicaProcess {
  readonly url: string;
  start(): Promise<void>;
  /** SIGKILL: nothing is stopped in order. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** What it has logged at `warn` and above. */
  readonly warnings: string[];
}

const START_TIMEOUT_MS = 60_000;

/** @param environment its settings; the address is chosen here */
export async function startReplicaProcess(environment: Record<string, string>): Promise<ReplicaProcess> {
  const port = await findFreePort();
  const operationsPort = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const warnings: string[] = [];
  let child: ChildProcess | undefined;

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const ended = new Promise((resolve) => running.once('exit', resolve));
    running.kill(signal);
    await ended;
  };

  const replica: ReplicaProcess = {
    url,
    warnings,
    async start() {
      const own = { HTTP_PORT: String(port), OPERATIONS_PORT: String(operationsPort), LOG_LEVEL: 'warn' };
      child = spawn(process.execPath, ['--import', 'tsx', join('src', 'main.ts')], {
        cwd: join(__dirname, '..', '..', '..'),
        env: { PATH: process.env.PATH, HOME: process.env.HOME, ...environment, ...own },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (text) => warnings.push(String(text)));
      await waitFor(
        'the replica answers',
        () =>
          fetch(`http://127.0.0.1:${operationsPort}/readyz/replica`).then(
            ({ status }) => status,
            () => 0,
          ),
        (status) => status === 200,
        START_TIMEOUT_MS,
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${warnings.join('')}`);
      });
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
  try {
    await replica.start();
  } catch (error) {
    await replica.kill();
    throw error;
  }
  return replica;
}
