/** Orders to another process of the run, each with an answer and a deadline. */
import { fork, type ChildProcess } from 'node:child_process';
import { openSync } from 'node:fs';

export interface Servant {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly isRunning: boolean;
  readonly ended: Promise<void>;
  /** @throws where it does not answer in time, is gone, or says no */
  ask<T>(order: string, what: object, timeoutMs: number): Promise<T>;
}

interface Answer {
  id: number;
  value?: unknown;
  fault?: string;
}

/** @param file built JavaScript; it ends with us, since it hangs on our channel */
export function startServant(file: string, env: Record<string, string>, logFile: string): Servant {
  const log = openSync(logFile, 'a', 0o600);
  const child = fork(file, [], { env: { ...process.env, ...env }, execArgv: [], stdio: ['ignore', log, log, 'ipc'] });
  const waiting = new Map<number, (answer: Answer) => void>();
  let last = 0;
  let running = true;
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      running = false;
      for (const [id, settle] of waiting) settle({ id, fault: 'the process is gone' });
      resolve();
    });
  });
  child.on('error', () => undefined);
  child.on('message', (answer: Answer) => waiting.get(answer.id)?.(answer));
  return {
    process: child,
    pid: child.pid ?? 0,
    get isRunning() {
      return running;
    },
    ended,
    ask<T>(order: string, what: object, timeoutMs: number) {
      const id = ++last;
      return new Promise<T>((resolve, reject) => {
        const settle = (answer: Answer): void => {
          clearTimeout(timer);
          waiting.delete(id);
          if (answer.fault === undefined) resolve(answer.value as T);
          else reject(new Error(`${order}: ${answer.fault}`));
        };
        const timer = setTimeout(() => settle({ id, fault: `no answer in ${timeoutMs} ms` }), timeoutMs);
        waiting.set(id, settle);
        if (!running) return settle({ id, fault: 'the process is gone' });
        child.send({ id, order, what }, (error) => error && settle({ id, fault: error.message }));
      });
    },
  };
}

/** In the other process: each order by its name; it ends with the one who sends them. */
export function serveOrders(handlers: Record<string, (what: never) => unknown>): void {
  process.on('message', (message: { id: number; order: string; what: never }) => {
    void (async () => handlers[message.order]!(message.what))().then(
      (value) => process.send?.({ id: message.id, value }),
      (error: unknown) => process.send?.({ id: message.id, fault: error instanceof Error ? error.message : 'failed' }),
    );
  });
  process.once('disconnect', () => process.exit(0));
}
