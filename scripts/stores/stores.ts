/** Brings up Postgres and Redis where nobody names a running one, for `start` and for the tests alike. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Child } from '../child';
import { ensureDatabase, startPostgres } from './postgres';
import { startRedis } from './redis';

export interface StoresOptions {
  /** Where data and logs are kept. */
  stateDir: string;
  password: string;
  /** Used as they are where given: nothing is started for them. */
  databaseUrl?: string;
  redisUrl?: string;
  postgresPort?: number;
  redisPort?: number;
  ephemeral?: boolean;
  report: (line: string) => void;
}

export interface Stores {
  databaseUrl: string;
  redisUrl: string;
  /** What was started here, in order. */
  children: Child[];
  /** Where Postgres keeps its data, where it was started here. */
  dataDir: string | undefined;
  stop(): Promise<void>;
}

const DATABASE = 'switchyard';

/** @throws StartFault with what to do about it; what had been started by then is stopped again. */
export async function startStores(options: StoresOptions): Promise<Stores> {
  mkdirSync(options.stateDir, { recursive: true, mode: 0o711 });
  const children: Child[] = [];
  const stop = async (): Promise<void> => {
    for (const child of [...children].reverse()) await child.stop();
  };
  try {
    let databaseUrl = options.databaseUrl;
    let dataDir: string | undefined;
    if (!databaseUrl) {
      const postgres = await startPostgres({
        dataDir: join(options.stateDir, 'postgres'),
        password: options.password,
        logFile: join(options.stateDir, 'logs', 'postgres.log'),
        port: options.postgresPort,
        ephemeral: options.ephemeral,
      });
      children.push(postgres.child);
      await ensureDatabase(postgres.urlOf('postgres'), DATABASE);
      databaseUrl = postgres.urlOf(DATABASE);
      dataDir = postgres.dataDir;
    }
    let redisUrl = options.redisUrl;
    if (!redisUrl) {
      const redis = await startRedis({
        dataDir: join(options.stateDir, 'redis'),
        password: options.password,
        logFile: join(options.stateDir, 'logs', 'redis.log'),
        port: options.redisPort,
        ephemeral: options.ephemeral,
        report: options.report,
      });
      children.push(redis.child);
      redisUrl = redis.url;
    }
    return { databaseUrl, redisUrl, children, dataDir, stop };
  } catch (fault) {
    await stop();
    throw fault;
  }
}
