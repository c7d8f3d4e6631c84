/** What the benchmarks share: stores of their own, other processes with a deadline, and the figures' arithmetic. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStores, type Stores } from '../stores/stores';

/** Runs `work` with a fresh Postgres and Redis, and removes both with their data afterwards, whatever happens. */
export async function withStores(work: (stores: Stores) => Promise<void>): Promise<void> {
  const stateDir = mkdtempSync(join(tmpdir(), 'switchyard-bench-'));
  chmodSync(stateDir, 0o711);
  const password = randomBytes(12).toString('hex');
  const stores = await startStores({ stateDir, password, ephemeral: true, report: console.error });
  try {
    await work(stores);
  } finally {
    await stores.stop();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

/** A process of the same file in another role; it answers each order with one message. */
export interface Role {
  ask<T>(order: unknown, timeoutMs: number): Promise<T>;
  stop(): void;
}

/** @throws where the process ends, or does not answer in time: no benchmark waits for ever. */
export function startRole(file: string, role: string, env: Record<string, string> = {}): Role {
  const child: ChildProcess = fork(file, [`--role=${role}`], { env: { ...process.env, ...env } });
  return {
    ask<T>(order: unknown, timeoutMs: number) {
      return new Promise<T>((resolve, reject) => {
        const finish = (settle: () => void): void => {
          clearTimeout(timer);
          child.removeAllListeners('message').removeAllListeners('exit');
          settle();
        };
        const timer = setTimeout(
          () => finish(() => reject(new Error(`${role} did not answer in ${timeoutMs} ms`))),
          timeoutMs,
        );
        child.once('message', (answer) => finish(() => resolve(answer as T)));
        child.once('exit', (code) => finish(() => reject(new Error(`${role} ended with ${code}`))));
        child.send(order as object);
      });
    },
    stop: () => void (child.connected && child.disconnect()),
  };
}

/** In the other process: answers orders one after the other, and ends with the one who sent them. */
export function serveRole(handle: (order: never) => Promise<unknown>): void {
  process.on('message', (order) => {
    handle(order as never).then(
      (answer) => process.send?.(answer),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  process.once('disconnect', () => process.exit(0));
}

/** Which role this process has; undefined in the one a person started. */
export const ownRole = process.argv.find((a) => a.startsWith('--role='))?.slice('--role='.length);

export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

export const round = (value: number, digits = 0): number => Number(value.toFixed(digits));
