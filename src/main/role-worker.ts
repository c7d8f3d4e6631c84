/** The role `worker`: places calls in their domains' turns and has nodes dial them. */
import { runDialJob, type DialDeps } from '../domains/calls/dialing/dial.job';
import { DIAL_QUEUE } from '../domains/calls/queue/fair-queue';
import { OVERDUE_EVERY_MS, watchOverdue } from '../domains/calls/queue/overdue';
import { createOriginates } from '../domains/calls/dialing/originate';
import { createConcurrencyLimit } from '../infra/flow/concurrency-limit';
import { createWorker } from '../infra/stores/queues';
import { createLeaderLease } from '../infra/stores/leader-lease';
import type { Container } from './container';
import type { Stops } from './stores';

/** Of those that calls have. */
const CONNECTIONS_OF_REQUESTS = 2;

export function startWorkerRole(container: Container, stops: Stops): void {
  const { config, logger, settle, hold, links, queue, quotas, stopping } = container;
  const { callPool } = container.stores;
  const originates = createOriginates({ ...settle, links, commandTimeoutMs: config.nodeCommandTimeoutMs });
  stops.push(() => originates.stop());
  const placing = createConcurrencyLimit(Math.max(1, callPool.options.max - CONNECTIONS_OF_REQUESTS));
  const dial: DialDeps = { ...settle, ...hold, callPool, placing, quotas, queue, originates, signal: stopping.signal };
  const worker = createWorker({
    name: DIAL_QUEUE,
    prefix: config.redisPrefix,
    redisUrl: config.redisUrl,
    concurrency: config.callWorkers,
    logger,
    process: () => runDialJob(dial),
  });
  stops.push(async () => {
    stopping.abort();
    await worker.close();
  });
}

/** Every replica has it, whatever its roles: a deadline holds also where nobody dials. */
export function startOverdueWatch({ config, settle, stores }: Container, stops: Stops): void {
  const lease = createLeaderLease(stores.redis, `${config.redisPrefix}:overdue`, 2 * OVERDUE_EVERY_MS + 500);
  const watch = watchOverdue({ ...settle, lease });
  stops.push(async () => {
    await watch.stop();
    await lease.release();
  });
}
