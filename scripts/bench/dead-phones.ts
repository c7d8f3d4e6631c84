/** What calls to dead phones cost the living: time to ring and time to answer POST, idle and beside them. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { PresentedCall } from '../../src/domains/calls/calls';
import { createLogger } from '../../src/infra/logger';
import { startSimulatedNode } from '../simulator/node';
import { ApiFault, createApiClient, waitFor, type ApiClient } from '../api/client';
import { startPhone } from '../sip-phone/phone';
import { enrolAsAdmin, makeNodeSecret } from '../nodes/enrol';
import { launchRealNode } from '../nodes/launch-node';
import { xmlUrlOf, type NodePlan } from '../nodes/media-nodes';
import { findFreePort } from '../stores/ports';
import type { Stores } from '../stores/stores';
import { createOwnSwitchyard } from './scale/process';
import { ownRole, quantile, round, serveRole, startRole, withStores } from './roles';

const API_KEY = 'sk_bench_admin_key_of_switchyard';
const DOMAIN = 'bench.test';
const STEP_MS = 120_000;
const NODES = 2;
const LIVING_USERS = 20;
const AT_ONCE = 8;
/** The living ring so long, and do not pick up. */
const RING_SECONDS = 5;

interface BenchNode {
  /** Registers a phone that rings and is not picked up. @returns what makes it vanish without a word */
  register(username: string, password: string): Promise<() => void>;
  stop(): Promise<void>;
}

interface Options {
  dead: number;
  living: number;
  seconds: number;
  freeswitch: string | undefined;
}

async function startNode(api: ApiClient, url: string, dir: string, index: number, o: Options): Promise<BenchNode> {
  const port = await findFreePort();
  const [internodePort, wsPort, eslPort] = o.freeswitch
    ? [await findFreePort(), await findFreePort(), await findFreePort()]
    : [port, port, port];
  const rtpFrom = 28_000 + index * 1000;
  const plan: NodePlan = {
    ...{ name: `bench-${index}`, kind: o.freeswitch ? 'real' : 'simulated', host: '127.0.0.1', sipPort: port },
    ...{ internodePort, wsPort, eslPort, rtpFrom, rtpTo: rtpFrom + 999, wsUrl: `ws://127.0.0.1:${wsPort}` },
  };
  const secret = makeNodeSecret();
  const xmlUrl = xmlUrlOf(plan, url);
  await enrolAsAdmin(api, { name: plan.name, xmlUrl, secret });
  if (!o.freeswitch) {
    const logger = createLogger('error');
    const node = await startSimulatedNode({ name: plan.name, xmlUrl, password: secret, heartbeatMs: 1000, logger });
    return {
      async register(username, password) {
        const login = { username, domain: DOMAIN, password, expiresSeconds: 3600 };
        const phone = await node.registerPhone({ ...login, behaviour: { ringOnly: true } });
        return () => phone.behave({ gone: 'refused' });
      },
      stop: () => node.kill(),
    };
  }
  const env = { SWITCHYARD_RTP_FROM: String(rtpFrom), SWITCHYARD_RTP_TO: String(plan.rtpTo) };
  const node = await launchRealNode({
    ...{ binary: o.freeswitch, dir: join(dir, plan.name), name: plan.name, xmlUrl, password: secret, env },
  });
  return {
    async register(username, password) {
      const phone = await startPhone({
        ...{ username, domain: DOMAIN, password, nodeHost: plan.host, nodePort: port },
        behaviour: { ringOnly: true },
      });
      return phone.close;
    },
    stop: () => node.stop(),
  };
}

/** As a client is told to, where it has asked too much. */
async function post<T>(api: ApiClient, path: string, body: object): Promise<T> {
  for (;;) {
    try {
      return await api.post<T>(path, body);
    } catch (fault) {
      if (!(fault instanceof ApiFault) || fault.status !== 429) throw fault;
      await sleep(300);
    }
  }
}

async function inTurns<T>(items: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  const left = items.map((item, index) => ({ item, index }));
  const take = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) await work(next.item, next.index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, take));
}

interface Asked {
  id: string;
  answerMs: number;
}

/** An open loop: calls come at their times, whatever became of those before. */
async function callAll(api: ApiClient, users: readonly string[], perSecond: number): Promise<Asked[]> {
  const began = performance.now();
  return Promise.all(
    users.map(async (username, i) => {
      await sleep(Math.max(0, (i * 1000) / perSecond - (performance.now() - began)));
      const sent = performance.now();
      const asked = { domain: DOMAIN, from: `user:${username}`, to: '9196', ringTimeoutSeconds: RING_SECONDS };
      const { id } = await post<{ id: string }>(api, '/v1/calls', asked);
      return { id, answerMs: performance.now() - sent };
    }),
  );
}

async function readCalls(api: ApiClient, asked: readonly Asked[]): Promise<PresentedCall[]> {
  const calls: PresentedCall[] = [];
  await inTurns(asked, async ({ id }) => {
    calls.push(
      await waitFor(
        'a call to end',
        () => api.get<PresentedCall>(`/v1/calls/${id}`),
        ({ state }) => state === 'ended',
        STEP_MS,
      ),
    );
  });
  return calls;
}

const spread = (values: readonly number[]) => ({
  p50: round(quantile(values, 0.5)),
  p99: round(quantile(values, 0.99)),
});

function show(what: string, asked: readonly Asked[], calls: readonly PresentedCall[]): number {
  const rung = calls.flatMap(({ queuedAt, ringingAt }) =>
    ringingAt ? [Date.parse(ringingAt) - Date.parse(queuedAt!)] : [],
  );
  const attempts = calls.reduce((sum, call) => sum + call.attempts.length, 0);
  const outcomes: Record<string, number> = {};
  for (const { outcome } of calls) outcomes[outcome ?? ''] = (outcomes[outcome ?? ''] ?? 0) + 1;
  const figures = { calls: calls.length, attempts, outcomes, postMs: spread(asked.map(({ answerMs }) => answerMs)) };
  console.log(JSON.stringify({ what, ...figures, ...(rung.length > 0 ? { ringMs: spread(rung) } : {}) }));
  return quantile(rung, 0.5);
}

async function measure(api: ApiClient, nodes: readonly BenchNode[], o: Options): Promise<void> {
  await api.post('/v1/domains', { name: DOMAIN });
  await api.put(`/v1/quotas/${DOMAIN}`, { callsPerSecond: 10_000, queuedCalls: 10_000 });
  const living = Array.from({ length: LIVING_USERS }, (_, i) => `living-${i}`);
  const dead = Array.from({ length: o.dead * o.seconds }, (_, i) => `dead-${i}`);
  const vanish: (() => void)[] = [];
  await inTurns([...living, ...dead], async (username, i) => {
    const { password } = await post<{ password: string }>(api, '/v1/users', { domain: DOMAIN, username });
    const gone = await nodes[i % nodes.length]!.register(username, password);
    if (username.startsWith('dead')) vanish.push(gone);
  });
  console.error(`${vanish.length} phones are registered, and gone`);
  for (const gone of vanish) gone();
  const callers = Array.from({ length: o.living * o.seconds }, (_, i) => living[i % living.length]!);
  await readCalls(api, await callAll(api, callers.slice(0, 10), o.living)); // warms up
  const alone = await callAll(api, callers, o.living);
  const idle = show('living phones alone', alone, await readCalls(api, alone));
  const [beside, others] = await Promise.all([callAll(api, callers, o.living), callAll(api, dead, o.dead)]);
  const loaded = show('living phones beside the dead', beside, await readCalls(api, beside));
  show('dead phones', others, await readCalls(api, others));
  console.log(JSON.stringify({ ringRatio: round(loaded / Math.max(1, idle), 2) }));
}

async function run(stores: Stores, o: Options): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'dead-phones-'));
  const switchyard = startRole(__filename, 'switchyard', {
    ...{ DATABASE_URL: stores.databaseUrl, REDIS_URL: stores.redisUrl, HTTP_PORT: '0', HTTP_HOST: '127.0.0.1' },
    ...{ OPERATIONS_PORT: '0', SWITCHYARD_SECRET: randomBytes(32).toString('base64'), BOOTSTRAP_API_KEY: API_KEY },
    ...{ NODE_ALLOWED_NETWORKS: '127.0.0.0/8', HEARTBEAT_SECONDS: '1', HEALTH_SECONDS: '0', CANARY_SECONDS: '0' },
    LOG_LEVEL: process.env.LOG_LEVEL ?? 'error',
  });
  const nodes: BenchNode[] = [];
  try {
    const { url } = await switchyard.ask<{ url: string }>({ kind: 'start' }, STEP_MS);
    const api = createApiClient(url, API_KEY);
    for (let index = 0; index < NODES; index += 1) nodes.push(await startNode(api, url, dir, index, o));
    await waitFor(
      'every node to serve',
      () => api.get<{ items: { state: string }[] }>('/v1/nodes'),
      ({ items }) => items.filter(({ state }) => state === 'serving').length === NODES,
      STEP_MS,
    );
    await measure(api, nodes, o);
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    switchyard.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const number = (value: string): { type: 'string'; default: string } => ({ type: 'string', default: value });
  const { values } = parseArgs({
    options: { dead: number('30'), living: number('5'), seconds: number('30'), freeswitch: { type: 'string' } },
  });
  const options = {
    ...{ dead: Number(values.dead), living: Number(values.living), seconds: Number(values.seconds) },
    freeswitch: values.freeswitch,
  };
  console.log(
    `${NODES} ${options.freeswitch ? 'real' : 'simulated'} nodes and one Switchyard on this machine. Milliseconds from a ` +
      "request's entry until its phone rings, and until POST is answered; each dead phone is called for the first time.",
  );
  await withStores((stores) => run(stores, options));
  process.exit(); // its phones' sockets are open
}

if (ownRole === 'switchyard') serveRole(createOwnSwitchyard());
else
  main().catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
