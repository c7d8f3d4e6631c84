/** BullMQ's queue and worker with the settings that a call needs: no job is lost, none runs twice at once. */
import { DelayedError, Queue, Worker, type Job } from 'bullmq';
import { createBlockingRedis, type Redis } from './redis';
import type { Logger } from './logger';

export { DelayedError };
export type { Job };

/** A worker that was killed is noticed after its lock is over: its jobs are then taken up by another. */
const LOCK_MS = 6000;
const STALLED_CHECK_MS = 2000;

export interface JobQueue<T> {
  /** Adding an id that is waiting or running changes nothing. @throws while Redis is away. */
  add(id: string, data: T): Promise<void>;
  close(): Promise<void>;
}

export function createQueue<T extends object>(name: string, prefix: string, connection: Redis): JobQueue<T> {
  const queue = new Queue(name, { prefix, connection, skipVersionCheck: true });
  queue.on('error', () => undefined); // said by the connection itself
  return {
    async add(id, data) {
      await queue.add(name, data, {
        jobId: id,
        removeOnComplete: true,
        removeOnFail: true,
        attempts: 5,
        backoff: { type: 'fixed', delay: 500 },
      });
    },
    close: () => queue.close(),
  };
}

export function createWorker<T>(o: {
  name: string;
  prefix: string;
  redisUrl: string;
  concurrency: number;
  logger: Logger;
  process: (job: Job<T>, token: string | undefined) => Promise<void>;
}): { close(): Promise<void> } {
  const connection = createBlockingRedis(o.redisUrl, o.logger);
  const worker = new Worker<T>(o.name, (job, token) => o.process(job, token), {
    connection,
    prefix: o.prefix,
    concurrency: o.concurrency,
    lockDuration: LOCK_MS,
    stalledInterval: STALLED_CHECK_MS,
    maxStalledCount: 100,
    skipVersionCheck: true,
  });
  worker.on('error', (error) => o.logger.debug({ err: error }, 'worker'));
  worker.on('failed', (job, error) => o.logger.error({ err: error, job: job?.id }, 'a job failed'));
  return {
    async close() {
      await worker.close(true);
      connection.disconnect();
    },
  };
}
