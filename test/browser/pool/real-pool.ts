/** Switchyard with real media nodes around it, as tests of whole calls need it: nothing in it is a stand-in. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApiClient, waitFor, type ApiClient } from '../../../scripts/api/client';
import { enrolAsAdmin, makeNodeSecret } from '../../../scripts/nodes/enrol';
import { launchRealNode, type RealNode } from '../../../scripts/nodes/launch-node';
import { xmlUrlOf, type NodePlan } from '../../../scripts/nodes/media-nodes';
import { findFreePort } from '../../../scripts/stores/ports';
import { readConfig } from '../../../src/config';
import { openNodePassword } from '../../../src/domains/nodes/entering/node-password';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { openConnection } from '../../../src/freeswitch/esl';
import { createLogger } from '../../../src/infra/logger';
import { startSwitchyard } from '../../../src/main';
import type { TestStores } from '../../stores';

export interface PoolNode extends NodePlan {
  process: RealNode;
  /** Starts it anew on its old ports, with its old secret, after it was killed. */
  relaunch(): Promise<void>;
}

export interface RealPool {
  api: ApiClient;
  url: string;
  /** Where browsers and nodes reach it: by TLS where there is a proxy that ends it. */
  publicUrl: string;
  apiKey: string;
  nodes: PoolNode[];
  /** What Switchyard logged at `warn` and above. */
  warnings: string[];
  /** Runs a command of FreeSWITCH's own on a node, as an operator at its console. @returns its answer */
  command(node: PoolNode, line: string): Promise<string>;
  stop(): Promise<void>;
}

/** A proxy in front of Switchyard that ends TLS, and nodes that speak it to browsers. */
export interface TlsPool {
  url: string;
  /** Told where Switchyard itself is. */
  passTo(url: string): void;
  /** Certificate and key of the nodes. */
  wssPem: string;
  nodeEnvironment: Record<string, string>;
}

const JOIN_TIMEOUT_MS = 40_000;
const RTP_BASE = 28_000;
const RTP_PORTS = 400;

/** A Switchyard that somebody else started. */
export interface StartedReplica {
  url: string;
  stop(): Promise<void>;
}

/** @param environment further settings of Switchyard. Resolves when every node serves. @throws with a node's last lines where one does not. */
export async function startRealPool(
  freeswitch: string,
  stores: TestStores,
  nodeCount: number,
  environment: Record<string, string> = {},
  tls?: TlsPool,
  startWith?: (environment: Record<string, string>) => Promise<StartedReplica>,
  environmentOf: (index: number) => Record<string, string> = () => ({}),
  withoutModulesOf: (index: number) => readonly string[] = () => [],
  host = '127.0.0.1',
): Promise<RealPool> {
  const apiKey = `sk_${randomBytes(16).toString('hex')}`;
  const warnings: string[] = [];
  const settings = {
    HTTP_PORT: '0',
    OPERATIONS_PORT: '0',
    DATABASE_URL: stores.databaseUrl,
    REDIS_URL: stores.redisUrl,
    REDIS_PREFIX: stores.redisPrefix,
    SWITCHYARD_SECRET: randomBytes(32).toString('base64'),
    NODE_ALLOWED_NETWORKS: '127.0.0.0/8,::1',
    BOOTSTRAP_API_KEY: apiKey,
    HEARTBEAT_SECONDS: '1',
    CALL_WORKERS: '10',
    ...(tls ? { PUBLIC_URL: tls.url } : {}),
    ...environment,
  };
  const running = startWith
    ? await startWith(settings)
    : await startSwitchyard(readConfig(settings), createLogger('warn', { write: (line) => void warnings.push(line) }));
  tls?.passTo(running.url);
  const api = createApiClient(running.url, apiKey);
  const dir = await mkdtemp(join(tmpdir(), 'real-pool-'));
  const nodes: PoolNode[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.process.stop()));
    await running.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    for (let index = 0; index < nodeCount; index += 1) {
      const plan = await planNode(index, tls !== undefined, host);
      const secret = makeNodeSecret();
      await enrolAsAdmin(api, { name: plan.name, xmlUrl: xmlUrlOf(plan, running.url), secret });
      const options = {
        binary: freeswitch,
        dir: join(dir, plan.name),
        name: plan.name,
        xmlUrl: xmlUrlOf(plan, tls?.url ?? running.url),
        password: secret,
        withoutModules: withoutModulesOf(index),
        env: {
          SWITCHYARD_HEARTBEAT_SECONDS: '1',
          SWITCHYARD_RTP_FROM: String(plan.rtpFrom),
          SWITCHYARD_RTP_TO: String(plan.rtpTo),
          ...tls?.nodeEnvironment,
          ...environmentOf(index),
        },
      };
      if (tls) {
        await mkdir(join(options.dir, 'certs'), { recursive: true });
        await writeFile(join(options.dir, 'certs', 'wss.pem'), tls.wssPem, { mode: 0o600 });
      }
      const node: PoolNode = {
        ...plan,
        process: await launchRealNode(options),
        async relaunch() {
          await node.process.ended;
          node.process = await launchRealNode(options);
        },
      };
      nodes.push(node);
    }
    await waitFor(
      'every node to serve',
      () => api.get<{ items: { state: string }[] }>('/v1/nodes'),
      ({ items }) => items.filter(({ state }) => state === 'serving').length === nodeCount,
      JOIN_TIMEOUT_MS,
    );
  } catch (fault) {
    const lines = nodes.map((node) => `${node.name}:\n${node.process.lastLines()}`).join('\n');
    await stop();
    throw new Error(`${(fault as Error).message}\n${lines}\n${warnings.join('')}`);
  }
  const command = async ({ name, host, eslPort }: PoolNode, line: string): Promise<string> => {
    const row = (await stores.db('nodes').where({ name }).first()) as NodeRow;
    const password = openNodePassword(readConfig(settings).secretKey, row);
    const logger = createLogger('silent');
    const connection = await openConnection({ host, port: eslPort, password, connectTimeoutMs: 10_000, logger });
    const { text } = await connection.api({ line }, { timeoutMs: 10_000 }).finally(() => connection.close());
    return text;
  };
  return { command, api, url: running.url, publicUrl: tls?.url ?? running.url, apiKey, nodes, warnings, stop };
}

async function planNode(index: number, hasTls: boolean, host: string): Promise<NodePlan> {
  const [sipPort, internodePort, wsPort, eslPort] = [
    await findFreePort(),
    await findFreePort(),
    await findFreePort(),
    await findFreePort(),
  ];
  const rtpFrom = RTP_BASE + index * RTP_PORTS;
  const named = host.includes(':') ? `[${host}]` : host;
  const wssPort = hasTls ? await findFreePort() : undefined;
  return {
    name: `node-${index + 1}`,
    kind: 'real',
    host,
    sipPort,
    internodePort,
    wsPort,
    ...(wssPort === undefined ? {} : { wssPort }),
    eslPort,
    rtpFrom,
    rtpTo: rtpFrom + RTP_PORTS - 1,
    wsUrl: wssPort === undefined ? `ws://${named}:${wsPort}` : `wss://${named}:${wssPort}`,
  };
}
