/** FreeSWITCH answers one connection in order and without ids: one queue, for both kinds of answer, keeps them apart. */
import { EslError } from './faults';
import type { Reply } from './replies';

interface Waiter {
  name: string;
  resolve: (reply: Reply) => void;
  reject: (error: EslError) => void;
  timer: NodeJS.Timeout;
}

/** First in, first out. A missed deadline loses the count for everybody, so it ends the connection. */
export class Waiters {
  private readonly queue: Waiter[] = [];

  constructor(private readonly onDeadline: (error: EslError) => void) {}

  /**
   * Call it right before writing the command. What has arrived by the deadline is read first: a process that was held
   * up itself must not take every node for frozen.
   */
  expect(name: string, timeoutMs: number, where: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const late = (): void => {
        if (!this.queue.includes(waiter)) return;
        const error = new EslError('timeout', `${where} did not answer "${name}" within ${timeoutMs} ms`, {
          sent: true,
        });
        this.take(waiter);
        reject(error);
        this.onDeadline(error);
      };
      const waiter: Waiter = { name, resolve, reject, timer: setTimeout(() => setImmediate(late), timeoutMs) };
      this.queue.push(waiter);
    });
  }

  /** @returns false where nobody waits. */
  settleFirst(reply: Reply): boolean {
    const waiter = this.queue.shift();
    if (!waiter) return false;
    clearTimeout(waiter.timer);
    waiter.resolve(reply);
    return true;
  }

  /** Everyone learns by name what they waited for. */
  rejectAll(detail: string): void {
    for (const waiter of this.queue.splice(0)) {
      clearTimeout(waiter.timer);
      waiter.reject(new EslError('lost', `${detail} while "${waiter.name}" waited for its answer`, { sent: true }));
    }
  }

  private take(waiter: Waiter): void {
    const at = this.queue.indexOf(waiter);
    if (at >= 0) this.queue.splice(at, 1);
  }
}
