/** BullMQ's queue and worker with the settings that a call needs: no job is lost, none runs twice at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DelayedError, Queue, Worker, type Job } from 'bullmq';
import { SwitchyardError } from '../errors';
import { createBlockingRedis, type Redis } from './redis';
import type { Logger } from './logger';

export { DelayedError };
export type { Job };

/** A worker that was killed is noticed after its lock is over: its jobs are then taken up by another. */
const LOCK_MS = 6000;
const STALLED_CHECK_MS = 2000;
/** A call must not wait for the queue: it stands in Postgres, and the sweep queues it. */
const ADD_TIMEOUT_MS = 1500;

export interface JobQueue<T> {
  /** Adding an id that is waiting or running changes nothing. @throws while Redis is away. */
  add(id: string, data: T): Promise<void>;
  close(): Promise<void>;
}

export function createQueue<T extends object>(name: string, prefix: string, connection: Redis): JobQueue<T> {
  const queue = new Queue(name, { prefix, connection, skipVersionCheck: true });
  queue.on('error', () => undefined); // said by the connection itself
  const options = {
    removeOnComplete: true,
    removeOnFail: true,
    attempts: 5,
    backoff: { type: 'fixed' as const, delay: 500 },
  };
  return {
    async add(id, data) {
      if (connection.status !== 'ready') throw new SwitchyardError('unavailable', 'The queue is out of reach.');
      const stop = new AbortController();
      const deadline = sleep(ADD_TIMEOUT_MS, undefined, { signal: stop.signal }).then(() => {
        throw new SwitchyardError('unavailable', 'The queue did not answer in time.');
      });
      deadline.catch(() => undefined);
      // An add that comes through after its deadline does no harm: the id is the call's.
      const added = queue.add(name, data, { jobId: id, ...options });
      added.catch(() => undefined);
      await Promise.race([added, deadline]).finally(() => stop.abort());
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
