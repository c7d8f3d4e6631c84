/** What every replica does for the secret it runs with, and a supervisor for what is sealed. */
import { createRotation, ROTATION_STEP_MS } from '../domains/secrets/rotation';
import { runEvery } from '../infra/flow/interval';
import { createLeaderLease } from '../infra/stores/leader-lease';
import type { Container } from './container';
import type { Stops } from './stores';

/**
 * The first step comes a minute after the start: in a rolling restart from a version that can't read what is sealed now,
 * the last replica of that version is gone by then.
 */
export function startSecretRotation(container: Container, stops: Stops): void {
  const { config, logger, stores } = container;
  const lease = config.roles.includes('supervisor')
    ? createLeaderLease(stores.redis, `${config.redisPrefix}:sealing`, 2 * ROTATION_STEP_MS)
    : undefined;
  const rotation = createRotation({
    db: stores.db,
    logger,
    secretKey: config.secretKey,
    acquireLease: lease && (() => lease.acquire()),
  });
  const stopping = new AbortController();
  const schedule = runEvery('secrets', ROTATION_STEP_MS, logger, () => rotation.step(stopping.signal));
  stops.push(async () => {
    stopping.abort();
    await schedule.stop();
    await lease?.release();
  });
}
