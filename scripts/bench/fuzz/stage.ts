/** A whole Switchyard to be fuzzed: real stores, the house as users start it, one simulated node, and a few things in it. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../../../src/config';
import { createLogger } from '../../../src/infra/logger';
import { startSwitchyard } from '../../../src/main';
import { startSimulatedNode } from '../../../src/simulator/node';
import { findFreePort } from '../../ports';
import { startStores } from '../../stores';

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

export interface Stage extends Surroundings {
  close(): Promise<void>;
}

const READY_MS = 60_000;
const ERROR_LEVEL = 50;

/** @throws where a part does not start */
export async function openStage(): Promise<Stage> {
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
    const joinToken = randomBytes(16).toString('hex');
    const errors: string[] = [];
    const config = readConfig({
      HTTP_PORT: '0',
      DATABASE_URL: stores.databaseUrl,
      REDIS_URL: stores.redisUrl,
      SWITCHYARD_SECRET: randomBytes(32).toString('base64'),
      NODE_JOIN_TOKEN: joinToken,
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
    const port = await findFreePort();
    const node = {
      name: 'fuzzed',
      password: `${joinToken}.${randomBytes(16).toString('hex')}`,
      xmlUrl: `${switchyard.url}/freeswitch/xml?host=127.0.0.1&esl=${port}&sip=${port}&internode=${port}&ws=${port}&capacity=1000`,
    };
    const running = await startSimulatedNode({
      ...node,
      heartbeatMs: 2000,
      bootTimeoutMs: READY_MS,
      logger: createLogger('silent'),
    });
    stops.push(() => running.kill());
    const stage: Stage = {
      url: switchyard.url,
      adminKey,
      node,
      errors,
      close,
      registerPhone: (username, domain, password) =>
        running.registerPhone({ username, domain, password, behaviour: { answerAfterMs: 20 }, expiresSeconds: 3600 }),
    };
    await isServing(stage);
    return stage;
  } catch (error) {
    await close();
    throw error;
  }
}

async function isServing(stage: Surroundings): Promise<void> {
  const endMs = Date.now() + READY_MS;
  for (;;) {
    const answer = await callApi(stage, 'GET', '/v1/nodes');
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
