/** Puts secrets together: every replica follows which it may read, and one at a time seals again what a former one sealed. */
import { runEvery } from '../../infra/flow/interval';
import type { Logger } from '../../infra/logger';
import { createLeaderLease } from '../../infra/stores/leader-lease';
import type { Db } from '../../infra/stores/db';
import type { Redis } from '../../infra/stores/redis';
import type { Domain } from '../domain';
import { createRotation, ROTATION_STEP_MS } from './rotation';

export interface SecretsOptions {
  db: Db;
  redis: Redis;
  prefix: string;
  logger: Logger;
  secretKey: Buffer;
  /** False: this replica only says what it can read. */
  seals: boolean;
}

/**
 * The first step comes a minute after the start: in a rolling restart from a version that can't read what is sealed now,
 * the last replica of that version is gone by then.
 */
export function createSecrets(o: SecretsOptions): Domain {
  const lease = o.seals ? createLeaderLease(o.redis, `${o.prefix}:sealing`, 2 * ROTATION_STEP_MS) : undefined;
  const rotation = createRotation({ ...o, acquireLease: lease && (() => lease.acquire()) });
  const stopping = new AbortController();
  const schedule = runEvery('secrets', ROTATION_STEP_MS, o.logger, () => rotation.step(stopping.signal));
  return {
    async stop() {
      stopping.abort();
      await schedule.stop();
      await lease?.release();
    },
  };
}
