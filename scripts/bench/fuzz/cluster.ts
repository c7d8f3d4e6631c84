/** A whole Switchyard to be fuzzed: real stores, as users start it, one simulated node, and a few things in it. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../../../src/config';
import { openNodePassword } from '../../../src/domains/nodes/entering/node-password';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { createDb } from '../../../src/infra/stores/db';
import { createLogger } from '../../../src/infra/logger';
import { startSwitchyard } from '../../../src/main';
import { startSimulatedNode } from '../../simulator/node';
import { createApiClient } from '../../api/client';
import { enrolAsAdmin, makeNodeSecret } from '../../nodes/enrol';
import { launchRealNode } from '../../nodes/launch-node';
import { findFreePort } from '../../stores/ports';
import { startStores } from '../../stores/stores';

/** What a target needs to know of the Switchyard it is pointed at. */
export interface Surroundings {
  url: string;
  adminKey: string;
  /** A node that was let in: what it asks with. */
  node: { name: string; password: string; xmlUrl: string };
  /** A phone of a user, registered at that node, that answers; undefined where the place offers none. */
  registerPhone?(username: string, domain: string, password: string): Promise<unknown>;
  /** Lines of the log of level `error` and above, from the first one on. */
  errors: string[];
}

export interface Cluster extends Surroundings {
  databaseUrl: string;
  secretKey: Buffer;
  close(): Promise<void>;
}

const READY_MS = 60_000;
const ERROR_LEVEL = 50;

/** A node as it is asked for: ports, and what it shows. */
interface NodePlan {
  name: string;
  password: string;
  xmlUrl: string;
  eslPort: number;
  sipPort: number;
  dir: string;
}

/** Starts a node by its plan. @returns what stops it, and what else a target may use of it */
type StartNode<T> = (plan: NodePlan) => Promise<T & { stop(): Promise<unknown> }>;

interface SimulatedParts {
  registerPhone: NonNullable<Surroundings['registerPhone']>;
}

/** @throws where a part does not start */
export const startCluster = (): Promise<Cluster> =>
  startClusterWith<SimulatedParts>(async (plan) => {
    const { name, password, xmlUrl } = plan;
    const logger = createLogger('silent');
    const node = await startSimulatedNode({
      name,
      password,
      xmlUrl,
      heartbeatMs: 2000,
      bootTimeoutMs: READY_MS,
      logger,
    });
    return {
      stop: () => node.kill(),
      registerPhone: (username, domain, secret) =>
        node.registerPhone({
          username,
          domain,
          password: secret,
          behaviour: { answerAfterMs: 20 },
          expiresSeconds: 3600,
        }),
    };
  });

/** A real node: what a target needs to speak to it as a phone, and to hear what it does. */
export interface RealNodeParts {
  sipPort: number;
  eslPort: number;
  eslPassword: string;
  pid: number;
}

/** @param binary the `freeswitch` @throws where a part does not start */
export async function startRealCluster(binary: string): Promise<Cluster & RealNodeParts> {
  const cluster = await startClusterWith<Omit<RealNodeParts, 'eslPassword'>>(async (plan) => {
    const env = { SWITCHYARD_HEARTBEAT_SECONDS: '1', SWITCHYARD_RTP_FROM: '30000', SWITCHYARD_RTP_TO: '30400' };
    const node = await launchRealNode({ ...plan, binary, env });
    return { stop: () => node.stop(), pid: node.pid, sipPort: plan.sipPort, eslPort: plan.eslPort };
  });
  try {
    return Object.assign(cluster, { eslPassword: await readEslPassword(cluster) });
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

/** The one that its process was given: no other question is told it. */
async function readEslPassword({ databaseUrl, secretKey, node }: Cluster): Promise<string> {
  const db = createDb(databaseUrl, 1);
  try {
    const row = (await db('nodes').where({ name: node.name }).first()) as NodeRow;
    return openNodePassword(secretKey, row);
  } finally {
    await db.destroy();
  }
}

async function startClusterWith<T>(startNode: StartNode<T>): Promise<Cluster & T> {
  const stateDir = mkdtempSync(join(tmpdir(), 'switchyard-fuzz-'));
  chmodSync(stateDir, 0o711);
  const password = randomBytes(12).toString('hex');
  const stores = await startStores({ stateDir, password, ephemeral: true, report: () => undefined });
  const stops: (() => Promise<unknown>)[] = [() => stores.stop()];
  const close = async (): Promise<void> => {
    for (const stop of stops.splice(0).reverse()) await stop();
    rmSync(stateDir, { recursive: true, force: true });
  };
  try {
    const adminKey = `sk_${randomBytes(16).toString('hex')}`;
    const errors: string[] = [];
    const config = readConfig({
      HTTP_PORT: '0',
      OPERATIONS_PORT: '0',
      DATABASE_URL: stores.databaseUrl,
      REDIS_URL: stores.redisUrl,
      SWITCHYARD_SECRET: randomBytes(32).toString('base64'),
      NODE_ALLOWED_NETWORKS: '127.0.0.0/8',
      BOOTSTRAP_API_KEY: adminKey,
      CALL_WORKERS: '20',
      HEARTBEAT_SECONDS: '10',
      CANARY_SECONDS: '0',
      RECORDINGS_DIR: join(stateDir, 'recordings'),
    });
    const write = (line: string): void => {
      const { level } = JSON.parse(line) as { level: number };
      if (level >= ERROR_LEVEL) errors.push(line);
    };
    const logger = createLogger('warn', { write });
    const switchyard = await startSwitchyard(config, logger);
    stops.push(() => switchyard.stop());
    const [esl, sip, internode, ws] = [
      await findFreePort(),
      await findFreePort(),
      await findFreePort(),
      await findFreePort(),
    ];
    const ports = `esl=${esl}&sip=${sip}&internode=${internode}&ws=${ws}`;
    const node = {
      name: 'fuzzed',
      password: makeNodeSecret(),
      xmlUrl: `${switchyard.url}/freeswitch/xml?host=127.0.0.1&${ports}&capacity=1000`,
    };
    const api = createApiClient(switchyard.url, adminKey);
    await enrolAsAdmin(api, { name: node.name, xmlUrl: node.xmlUrl, secret: node.password });
    const { stop, ...parts } = await startNode({ ...node, eslPort: esl, sipPort: sip, dir: join(stateDir, 'node') });
    stops.push(stop);
    const { databaseUrl } = stores;
    const { secretKey } = config;
    const own = { url: switchyard.url, adminKey, node, errors, databaseUrl, secretKey, close };
    const cluster = { ...own, ...parts } as unknown as Cluster & T;
    await isServing(cluster);
    return cluster;
  } catch (error) {
    await close();
    throw error;
  }
}

async function isServing(cluster: Surroundings): Promise<void> {
  const endMs = Date.now() + READY_MS;
  for (;;) {
    const answer = await callApi(cluster, 'GET', '/v1/nodes');
    const items = (answer.body as { items?: { state: string }[] }).items ?? [];
    if (items.some(({ state }) => state === 'serving')) return;
    if (Date.now() > endMs) throw new Error('The node is not serving.');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export interface ApiAnswer {
  status: number;
  type: string;
  body: unknown;
  text: string;
  tookMs: number;
}

const PATIENCE_MS = 30_000;

/** Asks as a client does. @param body as it is sent: text, or what becomes JSON */
export async function callApi(
  at: Pick<Surroundings, 'url' | 'adminKey'>,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<ApiAnswer> {
  const from = performance.now();
  const response = await fetch(`${at.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${at.adminKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body:
      body === undefined
        ? undefined
        : typeof body === 'string' || body instanceof Uint8Array
          ? body
          : JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE_MS),
    redirect: 'manual',
  });
  const type = response.headers.get('content-type') ?? '';
  const text = await response.text();
  const tookMs = performance.now() - from;
  return {
    status: response.status,
    type,
    text,
    tookMs,
    body: /json/.test(type) && text !== '' ? JSON.parse(text) : undefined,
  };
}

/** @throws where the status is another than 2xx */
export async function make(at: Surroundings, path: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await callApi(at, 'POST', path, body);
  if (answer.status >= 300) throw new Error(`POST ${path}: ${answer.status} ${answer.text}`);
  return answer.body as Record<string, unknown>;
}
