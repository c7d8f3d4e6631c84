/** Starts everything in order and stops it in reverse; with src/main/, the only place that wires the parts together. */
import { hostname } from 'node:os';
import { readConfig, type Config } from './config';
import type { DbPatience } from './infra/stores/db';
import { createLogger, type Logger } from './infra/logger';
import { buildContainer } from './main/container';
import { startOperating } from './main/listen';
import { watchReadiness } from './main/readiness';
import { startApiRole } from './main/role-api';
import { showSettings } from './main/shown-settings';
import { openStores, type Stops, type Stores } from './main/stores';
import { startSupervisorRole } from './main/role-supervisor';
import { startOverdueWatch, startWorkerRole } from './main/role-worker';

export interface RunningSwitchyard {
  /** Where the API is; without the role `api` the same as `operationsUrl`. */
  url: string;
  /** Where nodes ask; without the role `api` the same as `operationsUrl`, which does not know them. */
  nodesUrl: string;
  /** Whether it lives and can work, and what it has done. */
  operationsUrl: string;
  stop(): Promise<void>;
}

/**
 * @param patience when Postgres counts as away; see infra/stores/db.ts
 * @throws where Postgres can't be migrated or the port is taken; what was started before is stopped again.
 */
export async function startSwitchyard(
  config: Config,
  logger: Logger,
  patience?: DbPatience,
): Promise<RunningSwitchyard> {
  const stops: Stops = [];
  const stop = async (): Promise<void> => {
    for (const step of stops.splice(0).reverse()) {
      await Promise.resolve()
        .then(step)
        .catch((error: unknown) => logger.warn({ err: error }, 'a part did not stop cleanly'));
    }
  };
  try {
    const stores = await openStores(config, logger, stops, patience);
    return { ...(await startRoles(stores, config, logger, stops)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startRoles(
  stores: Stores,
  config: Config,
  logger: Logger,
  stops: Stops,
): Promise<Omit<RunningSwitchyard, 'stop'>> {
  const container = await buildContainer(config, logger, stores, stops);
  const streams = config.roles.includes('supervisor') ? startSupervisorRole(container, stops) : undefined;
  if (config.roles.includes('worker')) startWorkerRole(container, stops);
  const watch = watchReadiness(container, stops);
  startOverdueWatch(container, stops);
  const onNodeSeen = (): void => void Promise.all([container.links.refresh(), streams?.refresh()]);
  const serving = config.roles.includes('api')
    ? await startApiRole(container, watch.replica, stops, onNodeSeen)
    : undefined;
  // Last, so that who is told "ready" finds the API, and first to go.
  const operationsUrl = await startOperating(container, watch, stops);
  return { operationsUrl, url: serving?.url ?? operationsUrl, nodesUrl: serving?.nodesUrl ?? operationsUrl };
}

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const logger = createLogger(config.logLevel);
  const running = await startSwitchyard(config, logger);
  const { url, nodesUrl, operationsUrl } = running;
  const where = { url, nodesUrl, operationsUrl, pid: process.pid, host: hostname() };
  logger.info({ ...where, roles: config.roles, settings: showSettings(config) }, 'Switchyard answers');
  for (const kind of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(kind, (error: unknown) => {
      logger.fatal({ err: error }, 'Switchyard exits: unexpected error');
      process.exit(1);
    });
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      logger.info({ signal }, 'Switchyard stops');
      void running.stop().then(() => process.exit(0));
    });
  }
}

if (require.main === module) {
  main().catch((error: unknown) => {
    process.stderr.write(`Switchyard did not start: ${(error as Error).message}\n`);
    process.exit(1);
  });
}
