/** Whether this replica can work, and whether the whole does its work: stores, roles that nobody has, nodes that serve. */
import { isSilent } from '../domains/nodes/pool/gauges';
import { reportLimitMs } from '../domains/nodes/limits';
import { listPoolRows } from '../domains/nodes/nodes.store';
import { createReadiness, type Checks, type Readiness } from '../http/operations';
import { registerChecks } from '../infra/metrics';
import { findMissingRoles, sayPresence } from '../infra/stores/presence';
import { storeClock } from '../infra/store-clock';
import { findEvictionFault, findRedisFault } from '../infra/stores/store-faults';
import type { Container } from './container';
import type { Stops } from './stores';
import { pingDb } from '../infra/stores/db';

const DONE_BY = {
  worker: 'Nobody has the role worker: calls wait and are not dialled. Start a replica with it (ROLES).',
  supervisor:
    'Nobody has the role supervisor: nobody follows the nodes, and calls do not end. Start a replica with it (ROLES).',
} as const;
const OTHERS = ['worker', 'supervisor'] as const;

export interface Watch {
  /** Its stores: what a load balancer needs to know. */
  replica: Readiness;
  /** And whatever keeps the whole from its work: what somebody should be woken for. */
  whole: Readiness;
}

/** Each is asked once a second at most. */
export function watchReadiness(container: Container, stops: Stops): Watch {
  const { config, logger, stores, metrics } = container;
  const { db, redis } = stores;
  const prefix = config.redisPrefix;
  const presence = sayPresence({ redis, prefix, roles: config.roles, logger });
  stops.push(() => presence.stop());

  const checkReplica = async (): Promise<Checks> => ({
    postgres: await pingDb(db).then(
      () => true,
      () => 'Postgres is out of reach.',
    ),
    redis: (await findRedisFault(redis, prefix)) ?? true,
  });
  const checkWhole = async (): Promise<Checks> => {
    const own = await checkReplica();
    if (own.redis !== true || own.postgres !== true) return own;
    const [missing, eviction, nodes] = await Promise.all([
      findMissingRoles(redis, prefix, OTHERS),
      findEvictionFault(redis),
      findNodesFault(container),
    ]);
    const roles = OTHERS.map((role) => [role, missing?.includes(role) ? DONE_BY[role] : true] as const);
    return { ...own, redisPolicy: eviction ?? true, ...Object.fromEntries(roles), nodes: nodes ?? true };
  };
  const watch = {
    replica: createReadiness(checkReplica, storeClock.nowMs),
    whole: createReadiness(checkWhole, storeClock.nowMs),
  };
  registerChecks(metrics.registry, ['postgres', 'redis', 'redisPolicy', ...OTHERS, 'nodes'], watch.whole);
  return watch;
}

async function findNodesFault({ config, stores }: Container): Promise<string | undefined> {
  const rows = await listPoolRows(stores.db);
  const limitMs = reportLimitMs(config.heartbeatSeconds);
  const serve = rows.filter((row) => row.state === 'serving' && !isSilent(row, storeClock.nowMs(), limitMs));
  if (serve.some((row) => row.unhealthy_reason === null)) return undefined;
  if (rows.length === 0) return 'There is no node in the pool yet.';
  const states = rows.map((row) => `${row.name} ${isSilent(row, storeClock.nowMs(), limitMs) ? 'silent' : row.state}`);
  return `No node can take a call: ${states.slice(0, 5).join(', ')}${states.length > 5 ? ' …' : ''}. GET /v1/nodes says why.`;
}
