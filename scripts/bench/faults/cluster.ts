/** All that a fault run runs on: stores, replicas and nodes as processes of their own, each of which can be harmed. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '../../stores/ports';
import { ensureDatabase, startPostgres, type PostgresOptions, type RunningPostgres } from '../../stores/postgres';
import { startRedis, type RedisOptions, type RunningRedis } from '../../stores/redis';
import { buildInto } from './build';
import type { NodeFault, NodePlan } from './host';
import { startServant, type Servant } from './orders';

export const ADMIN_KEY = 'sk_admin_key_of_the_fault_run';
export const REDIS_PREFIX = 'faults';
const JOIN_TOKEN = 'join-token-of-the-fault-run';
const READY_MS = 180_000;
const ORDER_MS = 20_000;

export interface ClusterOptions {
  seed: number;
  /** ROLES of each replica. The first one answers REST. */
  replicas: readonly string[];
  hosts: number;
  nodesPerHost: number;
  capacity: number;
  logLevel: string;
  heartbeatSeconds: number;
  /** How long nodes wait for an answer; as real ones where it is left out. */
  questionTimeoutMs?: number;
}

export interface Replica {
  readonly name: string;
  readonly roles: string;
  /** Where it answers; undefined without the role `api`. */
  readonly url: string | undefined;
  readonly isRunning: boolean;
  signal(signal: NodeJS.Signals): void;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it at the same address. @throws where it is not ready in time */
  start(): Promise<void>;
}

export interface ClusterNode extends NodePlan {
  host: number;
}

export interface Cluster {
  readonly dir: string;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly replicas: readonly Replica[];
  readonly nodes: readonly ClusterNode[];
  readonly hosts: readonly Servant[];
  harm(node: ClusterNode, fault: NodeFault, more?: { ms?: number; count?: number }): Promise<void>;
  stopRedis(): Promise<void>;
  /** Empty, at the same port. */
  startRedis(): Promise<void>;
  stopPostgres(): Promise<void>;
  startPostgres(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws where a part does not start; what was started is stopped again */
export async function startCluster(o: ClusterOptions): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-faults-'));
  chmodSync(dir, 0o711);
  mkdirSync(join(dir, 'built'));
  const built = buildInto(join(dir, 'built'));
  const script = (name: string): string => join(built, 'scripts', 'bench', 'faults', name);
  const password = randomBytes(12).toString('hex');
  const postgresOptions: PostgresOptions = {
    dataDir: join(dir, 'postgres'),
    password,
    logFile: join(dir, 'postgres.log'),
    ephemeral: true,
  };
  const redisOptions: RedisOptions = {
    dataDir: join(dir, 'redis'),
    password,
    logFile: join(dir, 'redis.log'),
    ephemeral: true,
    report: () => undefined,
  };
  const stops: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of stops.splice(0).reverse()) await step();
    if (!process.env.FAULTS_KEEP) rmSync(dir, { recursive: true, force: true });
  };
  try {
    let postgres: RunningPostgres = await startPostgres(postgresOptions);
    stops.push(() => postgres.child.stop());
    await ensureDatabase(postgres.urlOf('postgres'), 'faults');
    const databaseUrl = postgres.urlOf('faults');
    let redis: RunningRedis = await startRedis(redisOptions);
    stops.push(() => redis.child.stop());
    const secret = randomBytes(32).toString('base64');

    const makeReplica = async (roles: string, index: number): Promise<Replica> => {
      const port = await findFreePort();
      const env = {
        HTTP_HOST: '127.0.0.1',
        HTTP_PORT: String(port),
        OPERATIONS_PORT: '0',
        DATABASE_URL: databaseUrl,
        DATABASE_POOL_SIZE: '20',
        REDIS_URL: redis.url,
        REDIS_PREFIX,
        SWITCHYARD_SECRET: secret,
        NODE_JOIN_TOKEN: JOIN_TOKEN,
        NODE_APPROVAL: 'never',
        NODE_ALLOWED_NETWORKS: '127.0.0.0/8',
        BOOTSTRAP_API_KEY: ADMIN_KEY,
        ROLES: roles,
        LOG_LEVEL: o.logLevel,
        HEARTBEAT_SECONDS: String(o.heartbeatSeconds),
        NODE_COMMAND_TIMEOUT_MS: '3000',
        PLACEMENT_POLICY: 'zone_first',
        CALL_QUEUE_TIMEOUT_MS: '10000',
        CALL_WORKERS: '50',
        RECORDINGS_DIR: join(dir, 'recordings'),
      };
      let servant: Servant | undefined;
      return {
        name: `replica-${index + 1}`,
        roles,
        url: roles.includes('api') ? `http://127.0.0.1:${port}` : undefined,
        get isRunning() {
          return servant?.isRunning ?? false;
        },
        signal: (signal) => void (servant?.isRunning && process.kill(servant.pid, signal)),
        async kill() {
          servant?.process.kill('SIGKILL');
          await servant?.ended;
        },
        async start() {
          if (servant?.isRunning) return;
          servant = startServant(script('replica.js'), env, join(dir, `replica-${index + 1}.log`));
          await servant.ask('ready', {}, READY_MS);
        },
      };
    };
    const replicas = await Promise.all(o.replicas.map(makeReplica));
    for (const replica of replicas) {
      stops.push(() => replica.kill());
      await replica.start();
    }

    const apiPorts = replicas.flatMap(({ url }) => (url ? [Number(new URL(url).port)] : []));
    const nodes: ClusterNode[] = [];
    const hosts: Servant[] = [];
    for (let host = 0; host < o.hosts; host += 1) {
      const own: ClusterNode[] = [];
      for (let i = 1; i <= o.nodesPerHost; i += 1) {
        const [gatePort, eslPort, sipPort] = [await findFreePort(), await findFreePort(), await findFreePort()];
        const name = `node-${host + 1}-${i}`;
        own.push({ name, zone: `zone-${host + 1}`, gatePort, eslPort, sipPort, capacity: o.capacity, host });
      }
      const servant = startServant(script('host.js'), { LOG_LEVEL: 'fatal' }, join(dir, `host-${host + 1}.log`));
      stops.push(async () => {
        servant.process.kill('SIGKILL');
        await servant.ended;
      });
      const heartbeatMs = o.heartbeatSeconds * 1000;
      const { questionTimeoutMs } = o;
      await servant.ask(
        'start',
        { nodes: own, apiPorts, joinToken: JOIN_TOKEN, heartbeatMs, questionTimeoutMs, seed: o.seed + host },
        READY_MS,
      );
      nodes.push(...own);
      hosts.push(servant);
    }
    return {
      dir,
      databaseUrl,
      redisUrl: redis.url,
      replicas,
      nodes,
      hosts,
      harm: (node, fault, more = {}) => hosts[node.host]!.ask('fault', { node: node.name, fault, ...more }, ORDER_MS),
      stopRedis: () => redis.child.stop(),
      async startRedis() {
        redis = await startRedis({ ...redisOptions, port: redis.port });
      },
      stopPostgres: () => postgres.child.stop(),
      async startPostgres() {
        postgres = await startPostgres({ ...postgresOptions, port: postgres.port });
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
