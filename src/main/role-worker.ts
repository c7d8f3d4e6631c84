/** The role `worker`: places calls in their domains' turns and has nodes dial them. */
import { runDialJob, type DialDeps } from '../domains/calls/dialing/dial.job';
import { DIAL_QUEUE } from '../domains/calls/queue/fair-queue';
import { OVERDUE_EVERY_MS, watchOverdue } from '../domains/calls/queue/overdue';
import { createOriginates } from '../domains/calls/dialing/originate';
import { createWorker } from '../infra/stores/queues';
import { createTurn } from '../infra/stores/leader-lease';
import type { House } from './container';
import type { Stops } from './stores';

export function startWorker(house: House, stops: Stops): void {
  const { config, logger, settle, hold, links, queue, quotas, stopping } = house;
  const { callPool } = house.stores;
  const originates = createOriginates({ ...settle, links, commandTimeoutMs: config.nodeCommandTimeoutMs });
  stops.push(() => originates.stop());
  const dial: DialDeps = { ...settle, ...hold, callPool, quotas, queue, originates, signal: stopping.signal };
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
export function startOverdueWatch({ config, settle, stores }: House, stops: Stops): void {
  const turn = createTurn(stores.redis, `${config.redisPrefix}:overdue`, 2 * OVERDUE_EVERY_MS + 500);
  const watch = watchOverdue({ ...settle, turn });
  stops.push(async () => {
    await watch.stop();
    await turn.giveUp();
  });
}
