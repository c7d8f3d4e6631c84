/** Two replicas behind the proxy of freeswitch/README.md and three real nodes, each a process of its own, as an operator has them. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createApiClient, waitFor, type ApiClient } from '../../api/client';
import { startChild, type Child } from '../../child';
import { enrolAsAdmin, makeNodeSecret } from '../../nodes/enrol';
import { launchRealNode, type RealNode } from '../../nodes/launch-node';
import { findFreePort } from '../../stores/ports';
import { projectRoot } from '../../project';
import { startProxy } from './proxy';

/** As an operator runs it where it was built (npm run build); from the sources it takes ten times longer to start. */
const program = (): string[] =>
  existsSync(join(projectRoot(), BUILT))
    ? ['--enable-source-maps', BUILT]
    : ['--import', 'tsx', join('src', 'main.ts')];
const BUILT = join('dist', 'src', 'main.js');

const READY_MS = 60_000;
const SERVE_MS = 90_000;
const RTP_BASE = 44_000;
const RTP_PORTS = 600;

export interface ShownNode {
  name: string;
  host: string;
  sipPort: number;
  state: string;
  connectionFault: { kind: string } | null;
}

export interface Replica {
  name: string;
  /** SIGTERM, and again up until it is ready. @returns milliseconds until it had ended, and until it was ready */
  restart(): Promise<{ endedMs: number; readyMs: number }>;
}

export interface RollingPool {
  api: ApiClient;
  replicas: Replica[];
  listNodes(): Promise<ShownNode[]>;
  /** What replicas and proxy wrote last. */
  lastLines(): string;
  stop(): Promise<void>;
}

export async function startRollingPool(o: {
  freeswitch: string;
  nodes: number;
  dir: string;
  databaseUrl: string;
  redisUrl: string;
  redisPrefix: string;
}): Promise<RollingPool> {
  const apiKey = `sk_${randomBytes(16).toString('hex')}`;
  const secret = randomBytes(32).toString('base64');
  const stops: (() => Promise<void>)[] = [];
  const children = new Map<string, Child>();
  const stop = async (): Promise<void> => {
    for (const one of stops.splice(0).reverse()) await one().catch(() => undefined);
  };
  const ports = await Promise.all(
    ['a', 'b'].map(async (name) => ({
      name,
      http: await findFreePort(),
      nodes: await findFreePort(),
      operations: await findFreePort(),
    })),
  );
  const front = { api: await findFreePort(), nodes: await findFreePort() };

  function launchReplica({ name, http, nodes, operations }: (typeof ports)[number]): Child {
    const child = startChild({
      name: `replica ${name}`,
      command: process.execPath,
      args: program(),
      cwd: projectRoot(),
      env: {
        PATH: process.env.PATH,
        HTTP_PORT: String(http),
        NODES_PORT: String(nodes),
        OPERATIONS_PORT: String(operations),
        DATABASE_URL: o.databaseUrl,
        REDIS_URL: o.redisUrl,
        REDIS_PREFIX: o.redisPrefix,
        SWITCHYARD_SECRET: secret,
        BOOTSTRAP_API_KEY: apiKey,
        NODE_ALLOWED_NETWORKS: '127.0.0.0/8',
        HEARTBEAT_SECONDS: '2',
        CANARY_SECONDS: '30',
        RECORDINGS_DIR: join(o.dir, 'recordings'),
      },
      logFile: join(o.dir, `replica-${name}.log`),
      stopTimeoutMs: 20_000,
    });
    children.set(name, child);
    return child;
  }
  const ready = (at: (typeof ports)[number]): Promise<boolean> =>
    waitFor(
      `replica ${at.name} to be ready:\n${children.get(at.name)!.lastLines()}`,
      async () => (await fetch(`http://127.0.0.1:${at.operations}/readyz/replica`)).ok,
      (is) => is,
      READY_MS,
    );

  try {
    for (const at of ports) {
      launchReplica(at);
      stops.push(() => children.get(at.name)!.stop());
    }
    await Promise.all(ports.map(ready));
    const proxy = startProxy(join(o.dir, 'nginx'), { ...front, replicas: ports });
    if (!proxy) throw new Error('There is no nginx.');
    stops.push(() => proxy.stop());
    children.set('nginx', proxy);
    const api = createApiClient(`http://127.0.0.1:${front.api}`, apiKey);
    const listNodes = async (): Promise<ShownNode[]> => (await api.get<{ items: ShownNode[] }>('/v1/nodes')).items;
    await waitFor('the proxy', listNodes, Array.isArray, READY_MS);
    for (let index = 0; index < o.nodes; index += 1) {
      const node = await launchNode({ ...o, api, index, nodesUrl: `http://127.0.0.1:${front.nodes}` });
      stops.push(() => node.stop());
    }
    const isServing = (nodes: ShownNode[]): boolean => nodes.filter((n) => n.state === 'serving').length === o.nodes;
    await waitFor('every node to serve', listNodes, isServing, SERVE_MS);
    const replicas = ports.map((at) => ({
      name: at.name,
      async restart() {
        const beganMs = Date.now();
        await children.get(at.name)!.stop();
        const endedMs = Date.now() - beganMs;
        launchReplica(at);
        await ready(at);
        return { endedMs, readyMs: Date.now() - beganMs };
      },
    }));
    const lastLines = (): string => [...children].map(([name, child]) => `${name}:\n${child.lastLines(15)}`).join('\n');
    return { api, replicas, listNodes, lastLines, stop };
  } catch (fault) {
    const lines = [...children].map(([name, child]) => `${name}:\n${child.lastLines(10)}`).join('\n');
    await stop();
    throw new Error(`${(fault as Error).message}\n${lines}`);
  }
}

async function launchNode(o: {
  freeswitch: string;
  dir: string;
  api: ApiClient;
  index: number;
  nodesUrl: string;
}): Promise<RealNode> {
  const name = `n${o.index + 1}`;
  const [esl, sip, internode, ws] = await Promise.all([1, 2, 3, 4].map(() => findFreePort()));
  const rtpFrom = RTP_BASE + o.index * RTP_PORTS;
  const rtpTo = rtpFrom + RTP_PORTS - 1;
  // A host of its own for each, as on three machines; none is the address of a list on disk alone.
  const query = `host=127.0.0.${31 + o.index}&esl=${esl}&sip=${sip}&internode=${internode}&ws=${ws}&rtp=${rtpFrom}-${rtpTo}`;
  const xmlUrl = `${o.nodesUrl}/freeswitch/xml?${query}`;
  const secret = makeNodeSecret();
  await enrolAsAdmin(o.api, { name, xmlUrl, secret });
  return launchRealNode({
    binary: o.freeswitch,
    dir: join(o.dir, name),
    name,
    xmlUrl,
    password: secret,
    env: {
      SWITCHYARD_HEARTBEAT_SECONDS: '2',
      SWITCHYARD_RTP_FROM: String(rtpFrom),
      SWITCHYARD_RTP_TO: String(rtpTo),
    },
  });
}
