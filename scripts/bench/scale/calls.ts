/** A Switchyard with stand-in nodes, and calls that are asked of it over REST: when POST was answered, and when each was dialled. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDb, type Db } from '../../../src/infra/stores/db';
import { migrateDb } from '../../../src/infra/stores/migrate';
import { findFreePort } from '../../stores/ports';
import type { Stores } from '../../stores/stores';
import { quantile, round, startRole, type Role } from '../roles';
import type { Dialled, NodesOrder } from './nodes';
import type { Usage } from './process';
import * as seed from './seed';

const API_KEY = 'sk_bench_admin_key_of_switchyard';
const STEP_MS = 120_000;
/** A call that was not dialled by then is counted as never dialled. */
export const GIVE_UP_MS = 10_000;

export interface Times {
  /** Undefined where the request was refused. */
  answerMs: number | undefined;
  /** From the request until originate was at the node; undefined where it was not in time. */
  dialMs: number | undefined;
}

export interface CallBench {
  db: Db;
  url: string;
  domainIds: string[];
  /** When each call was at its node, as far as that was told. */
  dialledAt: Map<string, number>;
  readDialled(): Promise<void>;
  /** Of Switchyard's process, since it was asked last. */
  readUsage(): Promise<Usage>;
  /** Seconds that calls waited in the queue, as Prometheus has them: upper bounds and counts up to them. */
  readQueueWaits(): Promise<{ le: number; count: number }[]>;
}

export interface Posted {
  /** Undefined where it was refused. */
  id: string | undefined;
  startMs: number;
  answerMs: number;
}

export async function post(
  bench: CallBench,
  domain: string,
  extra: Record<string, unknown> = {},
  refusal: 'throws' | 'counts' = 'throws',
): Promise<Posted> {
  const startMs = Date.now();
  const response = await fetch(`${bench.url}/v1/calls`, {
    method: 'POST',
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ domain, from: 'user:1001', to: '9196', ...extra }),
    signal: AbortSignal.timeout(STEP_MS),
  });
  const body = (await response.json()) as { id?: string };
  if (response.status === 429) {
    await sleep(500);
    return post(bench, domain, extra, refusal);
  }
  if (!body.id && refusal === 'throws') throw new Error(`POST /v1/calls: ${response.status} ${JSON.stringify(body)}`);
  return { id: body.id, startMs, answerMs: Date.now() - startMs };
}

async function waitDialled(bench: CallBench, ids: readonly string[], timeoutMs: number): Promise<void> {
  const untilMs = Date.now() + timeoutMs;
  for (;;) {
    await bench.readDialled();
    if (ids.every((id) => bench.dialledAt.has(id)) || Date.now() > untilMs) return;
    await sleep(50);
  }
}

const timesOf = (bench: CallBench, { id, startMs, answerMs }: Posted): Times => {
  const atMs = id === undefined ? undefined : bench.dialledAt.get(id);
  return { answerMs: id === undefined ? undefined : answerMs, dialMs: atMs === undefined ? undefined : atMs - startMs };
};

/** One after the other: what a tenant with few calls sees. */
export async function probe(bench: CallBench, domain: string, probes: number): Promise<Times[]> {
  const times: Times[] = [];
  for (let i = 0; i < probes; i += 1) {
    const posted = await post(bench, domain);
    await waitDialled(bench, [posted.id!], GIVE_UP_MS);
    times.push(timesOf(bench, posted));
    if (times.filter(({ dialMs }) => dialMs === undefined).length >= 3) return times;
  }
  return times;
}

/** An open loop: calls come at their times, whatever became of those before. @param firstDomain the others are called in turn */
export async function load(
  bench: CallBench,
  perSecond: number,
  seconds: number,
  firstDomain: number,
  refusal: 'throws' | 'counts' = 'throws',
): Promise<Times[]> {
  const began = performance.now();
  const domains = seed.DOMAINS - firstDomain;
  const calls = await Promise.all(
    Array.from({ length: perSecond * seconds }, async (_, i) => {
      await sleep(Math.max(0, (i * 1000) / perSecond - (performance.now() - began)));
      return post(bench, seed.domainName(firstDomain + (i % domains)), {}, refusal);
    }),
  );
  const ids = calls.flatMap(({ id }) => (id === undefined ? [] : [id]));
  await waitDialled(bench, ids, GIVE_UP_MS);
  return calls.map((posted) => timesOf(bench, posted));
}

export interface Figures {
  answerP50: number;
  answerP99: number;
  dialP50: number;
  dialP99: number;
  dialMost: number;
  calls: number;
  refused: number;
  notDialled: number;
}

export function figuresOf(times: readonly Times[]): Figures {
  const dialled = times.flatMap(({ dialMs }) => (dialMs === undefined ? [] : [dialMs]));
  const answers = times.flatMap(({ answerMs }) => (answerMs === undefined ? [] : [answerMs]));
  return {
    answerP50: round(quantile(answers, 0.5)),
    answerP99: round(quantile(answers, 0.99)),
    dialP50: round(quantile(dialled, 0.5)),
    dialP99: round(quantile(dialled, 0.99)),
    dialMost: round(Math.max(0, ...dialled)),
    calls: times.length,
    refused: times.length - answers.length,
    notDialled: answers.length - dialled.length,
  };
}

/** What lies between two readings of a histogram, by the upper bounds of its buckets. @returns milliseconds */
export function quantileOfWaits(
  before: readonly { le: number; count: number }[],
  after: readonly { le: number; count: number }[],
  share: number,
): number | undefined {
  const counts = after.map(({ le, count }) => ({
    le,
    count: count - (before.find((one) => one.le === le)?.count ?? 0),
  }));
  const all = counts.at(-1)?.count ?? 0;
  const found = counts.find(({ count }) => count >= all * share);
  return all > 0 && found ? found.le * 1000 : undefined;
}

function readHistogram(text: string, name: string): { le: number; count: number }[] {
  const found = text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\} (\\d+)`, 'gm'));
  return [...found].map(([, le, count]) => ({ le: le === '+Inf' ? Infinity : Number(le), count: Number(count) }));
}

/** @param file whose roles `nodes` and `switchyard` are started */
export async function withCallBench(
  stores: Stores,
  o: { file: string; nodes: number },
  work: (bench: CallBench) => Promise<void>,
): Promise<void> {
  const secretKey = randomBytes(32);
  const db = createDb(stores.databaseUrl, 4);
  const env = { DATABASE_URL: stores.databaseUrl, REDIS_URL: stores.redisUrl };
  const roles: Role[] = [];
  try {
    const nodes = startRole(o.file, 'nodes', env);
    roles.push(nodes);
    const tell = <T>(order: NodesOrder): Promise<T> => nodes.ask<T>(order, STEP_MS);
    const { port } = await tell<{ port: number }>({ kind: 'listen' });
    await migrateDb(db);
    const { domainIds } = await seed.seedNodes(db, { nodes: o.nodes, port, secretKey });
    await tell({ kind: 'load' });
    const operationsPort = await findFreePort();
    const switchyard = startRole(o.file, 'switchyard', {
      ...env,
      HTTP_PORT: '0',
      HTTP_HOST: '127.0.0.1',
      OPERATIONS_PORT: String(operationsPort),
      OPERATIONS_HOST: '127.0.0.1',
      REDIS_PREFIX: seed.PREFIX,
      SWITCHYARD_SECRET: secretKey.toString('base64'),
      NODE_JOIN_TOKEN: randomBytes(16).toString('hex'),
      BOOTSTRAP_API_KEY: API_KEY,
      LOG_LEVEL: process.env.LOG_LEVEL ?? 'error',
      HEALTH_SECONDS: '0',
      CANARY_SECONDS: '0',
    });
    roles.push(switchyard);
    const { url } = await switchyard.ask<{ url: string }>({ kind: 'start' }, STEP_MS);
    const untilMs = Date.now() + STEP_MS;
    while ((await db('nodes').whereNot('state', 'serving').first('id')) !== undefined) {
      if (Date.now() > untilMs) throw new Error('the nodes do not serve');
      await sleep(50);
    }
    const dialledAt = new Map<string, number>();
    await work({
      ...{ db, url, domainIds, dialledAt },
      async readDialled() {
        for (const { callId, atMs } of await tell<Dialled[]>({ kind: 'dialled' })) {
          if (dialledAt.has(callId)) throw new Error(`call ${callId} was dialled twice`);
          dialledAt.set(callId, atMs);
        }
      },
      readUsage: () => switchyard.ask<Usage>({ kind: 'usage' }, STEP_MS),
      async readQueueWaits() {
        const answer = await fetch(`http://127.0.0.1:${operationsPort}/metrics`);
        return readHistogram(await answer.text(), 'switchyard_queue_seconds');
      },
    });
  } finally {
    for (const role of roles) role.stop();
    await db.destroy();
  }
}
