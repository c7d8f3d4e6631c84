/** BullMQ as it is used here: signals that some worker of some replica takes up, each once. What is to be done is read elsewhere. */
import { Queue, Worker } from 'bullmq';
import { SwitchyardError } from '../../errors';
import { createBlockingRedis, type Redis } from './redis';
import type { Logger } from '../logger';
import { withDeadline } from '../flow/deadline';

/** A worker that was killed is noticed after its lock is over: its signals are then taken up by another. */
const LOCK_MS = 6000;
const STALLED_CHECK_MS = 2000;
/** Nobody waits longer for the queue than this: what is to be done stands in Postgres, and the sweep signals again. */
const SEND_TIMEOUT_MS = 1500;
/** What is being worked on when Switchyard stops is given this long. */
const CLOSE_TIMEOUT_MS = 5000;

export interface SignalQueue {
  /** @param delayMs not before; one that is to wait is lost with this process @throws while Redis is away. */
  send(delayMs?: number): Promise<void>;
  close(): Promise<void>;
}

export function createSignalQueue(name: string, prefix: string, connection: Redis): SignalQueue {
  const queue = new Queue(name, { prefix, connection, skipVersionCheck: true });
  queue.on('error', () => undefined); // said by the connection itself
  const options = {
    removeOnComplete: true,
    removeOnFail: true,
    attempts: 5,
    backoff: { type: 'fixed' as const, delay: 500 },
  };
  const waiting = new Set<NodeJS.Timeout>();
  async function sendNow(): Promise<void> {
    if (connection.status !== 'ready')
      throw new SwitchyardError('unavailable', "The queue is unavailable: Redis doesn't answer.");
    // One that comes through after its deadline does no harm: who takes it up finds nothing to do.
    await withDeadline(queue.add(name, {}, options), SEND_TIMEOUT_MS, () => {
      throw new SwitchyardError('unavailable', 'The queue did not answer in time.');
    });
  }
  return {
    async send(delayMs = 0) {
      if (delayMs <= 0) return sendNow();
      // Not BullMQ's own delay: it is a time of the sender's machine, and waits for the clock of whoever works.
      const timer = setTimeout(() => {
        waiting.delete(timer);
        sendNow().catch(() => undefined); // the sweep signals again
      }, delayMs);
      waiting.add(timer);
    },
    async close() {
      for (const timer of waiting) clearTimeout(timer);
      await queue.close();
    },
  };
}

export function createWorker(o: {
  name: string;
  prefix: string;
  redisUrl: string;
  concurrency: number;
  logger: Logger;
  process: () => Promise<void>;
}): { close(): Promise<void> } {
  const connection = createBlockingRedis(o.redisUrl, o.logger);
  const worker = new Worker(o.name, () => o.process(), {
    connection,
    prefix: o.prefix,
    concurrency: o.concurrency,
    lockDuration: LOCK_MS,
    stalledInterval: STALLED_CHECK_MS,
    maxStalledCount: 100,
    skipVersionCheck: true,
  });
  worker.on('error', (error) => o.logger.debug({ err: error }, 'worker'));
  worker.on('failed', (_job, error) => o.logger.error({ err: error }, 'a job failed'));
  return {
    async close() {
      await withDeadline(worker.close(connection.status !== 'ready'), CLOSE_TIMEOUT_MS, () => undefined);
      connection.disconnect();
    },
  };
}
