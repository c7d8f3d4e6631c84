/** Puts nodes together: the REST of nodes, their health and the pool, and what is learnt of a node by its reports. */
import type { EventLog } from '../events/events';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import { storeClock } from '../../infra/store-clock';
import type { Domain } from '../domain';
import type { Claims } from './capacity/claims';
import { followEffectiveCapacity } from './capacity/follow-capacity';
import { learnModules } from './features/ask-modules';
import { healthRoutes } from './health/health.routes';
import { nodeRoutes } from './nodes.routes';
import { poolRoutes } from './pool/pool.routes';

export interface NodesOptions {
  db: Db;
  log: EventLog;
  logger: Logger;
  claims: Claims;
  commandTimeoutMs: number;
  mostUnits: number;
  routes: {
    nodes: Parameters<typeof nodeRoutes>[0];
    health: Parameters<typeof healthRoutes>[0];
    pool: Parameters<typeof poolRoutes>[0];
  };
}

export function createNodes(o: NodesOptions): Domain {
  const { db, log, logger, claims, commandTimeoutMs: timeoutMs } = o;
  const capacity = followEffectiveCapacity({ db, claims, now: storeClock.nowMs, mostUnits: o.mostUnits });
  return {
    routes: [...nodeRoutes(o.routes.nodes), ...healthRoutes(o.routes.health), ...poolRoutes(o.routes.pool)],
    handlers: {
      // Before it serves: what it can do decides what is sent there.
      onSnapshot: (node, connection) =>
        learnModules({ log, logger }, node, (command) => connection.api(command, { timeoutMs })).then(() => undefined),
      onReport: (node, report) => capacity.takeReport(node.id, report.idleCpuPercent),
    },
  };
}
