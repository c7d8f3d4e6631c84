/** The role `worker`: places and dials the calls of the queue. */
import { runDialJob, type DialDeps } from '../domains/calls/dial.job';
import { createWorker } from '../infra/queues';
import type { House } from './house';
import type { Stops } from './stores';

export function startWorker(house: House, stops: Stops): void {
  const { config, logger, settle, hold, links, stopping } = house;
  const commandTimeoutMs = config.nodeCommandTimeoutMs;
  const dial: DialDeps = { ...settle, ...hold, links, commandTimeoutMs, signal: stopping.signal };
  const worker = createWorker<{ callId: string }>({
    name: 'calls',
    prefix: config.redisPrefix,
    redisUrl: config.redisUrl,
    concurrency: config.callWorkers,
    logger,
    process: (job, token) => runDialJob(dial, job, token),
  });
  stops.push(async () => {
    stopping.abort();
    await worker.close();
  });
}
