/** Brings up Postgres and Redis where nobody names a running one, for `start` and for the tests alike. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:net';
import type { Child } from '../child';
import { StartFault } from '../project';
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
    if (redisUrl) await requireRedis(redisUrl);
    else {
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

const REDIS_TIMEOUT_MS = 5000;
const REDIS_PORT = 6379;

/** Switchyard itself waits for Redis and goes on without it; at a start a wrong REDIS_URL is the likelier reason. */
async function requireRedis(redisUrl: string): Promise<void> {
  if (!URL.canParse(redisUrl)) return; // Switchyard names what is wrong with it
  const { hostname, port } = new URL(redisUrl);
  if (hostname === '') return; // a local socket
  const at = { host: hostname.replaceAll(/[[\]]/g, ''), port: Number(port || REDIS_PORT) };
  const fault = await new Promise<string | undefined>((resolve) => {
    const socket = connect(at);
    const end = (why?: string): void => {
      clearTimeout(deadline);
      socket.destroy();
      resolve(why);
    };
    const deadline = setTimeout(() => end(`no answer within ${REDIS_TIMEOUT_MS / 1000} s`), REDIS_TIMEOUT_MS);
    socket.once('connect', () => end());
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
  if (fault !== undefined)
    throw new StartFault(
      `REDIS_URL: Redis can't be reached at ${at.host}, port ${at.port} (${fault}). Start it there, or unset REDIS_URL to use one of Switchyard's own.`,
    );
}
