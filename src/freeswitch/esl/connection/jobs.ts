/** Background jobs carry an id of our own, so their results may come in any order and at any time. */
import { storeClock } from '../../../infra/store-clock';
import { EslError } from './faults';
import type { Reply } from './replies';

interface Job {
  name: string;
  /** When it was asked for, by our clock. */
  askedMs: number;
  resolve: (reply: Reply) => void;
  reject: (error: unknown) => void;
  timer: NodeJS.Timeout;
}

/** Who waits for which job. */
export class Jobs {
  private readonly waiting = new Map<string, Job>();

  has(jobId: string): boolean {
    return this.waiting.has(jobId);
  }

  /** Undefined for a job that nobody waits for. */
  askedAtMs(jobId: string): number | undefined {
    return this.waiting.get(jobId)?.askedMs;
  }

  /** Call it before the command is sent. A late job is rejected, and no more: it still runs in the node. */
  expect(jobId: string, name: string, timeoutMs: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const late = (): void => {
        this.waiting.delete(jobId);
        reject(new EslError('timeout', `"${name}" had no result within ${timeoutMs} ms`, { sent: true }));
      };
      const askedMs = storeClock.nowMs();
      this.waiting.set(jobId, { name, askedMs, resolve, reject, timer: setTimeout(late, timeoutMs) });
    });
  }

  /** Ignores jobs of other connections. */
  settle(jobId: string, reply: Reply): void {
    this.take(jobId)?.resolve(reply);
  }

  reject(jobId: string, error: unknown): void {
    this.take(jobId)?.reject(error);
  }

  rejectAll(detail: string): void {
    for (const [jobId, job] of this.waiting) {
      this.reject(jobId, new EslError('lost', `${detail} while "${job.name}" waited for its result`, { sent: true }));
    }
  }

  private take(jobId: string): Job | undefined {
    const job = this.waiting.get(jobId);
    if (!job) return undefined;
    this.waiting.delete(jobId);
    clearTimeout(job.timer);
    return job;
  }
}
