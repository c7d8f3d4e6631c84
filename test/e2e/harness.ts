/** A whole Switchyard for a test file: real stores, Switchyard as it starts for users, simulated nodes, and a client. */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { enrolNode, makeNodeSecret } from '../../scripts/nodes/enrol';
import { findFreePort } from '../../scripts/stores/ports';
import type { Config } from '../../src/config';
import type { PresentedCall } from '../../src/domains/calls/calls';
import { isUnreachable, type DbPatience } from '../../src/infra/stores/db';
import { createLogger, type Logger } from '../../src/infra/logger';
import { startSwitchyard, type RunningSwitchyard } from '../../src/main';
import {
  startSimulatedNode,
  type PhoneBehaviour,
  type SimulatedNode,
  type SimulatedPhone,
} from '../../scripts/simulator/node';
import { PATIENCE, type TestStores } from '../stores';
import { until } from '../until';

export const ADMIN_KEY = 'sk_test_admin_key_of_switchyard';
export const JOIN_TOKEN = 'join-token-of-the-tests';
export const DOMAIN = 'clinic.test';
const SECRET = randomBytes(32);

export interface Answer {
  status: number;
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any
}

export interface Node extends SimulatedNode {
  readonly id: string;
  /** The URL it has on disk, and what it shows there. */
  readonly xmlUrl: string;
  readonly password: string;
}

type Asking = Pick<Node, 'name' | 'password' | 'xmlUrl'>;
interface NodeAnswer {
  status: number;
  text: string;
}

export interface App {
  url: string;
  /** Where nodes ask: the same, but with `nodesPort`. */
  nodesUrl: string;
  operationsUrl: string;
  config: Config;
  /** What was logged, by all replicas. */
  lines: string[];
  /** Asks again where a store is out of reach for a moment, or too much was asked: as a client is told to. */
  api(method: string, path: string, body?: unknown, url?: string): Promise<Answer>;
  /** Asks once, for those who mean to be told that a store is away. */
  apiOnce(method: string, path: string, body?: unknown, url?: string): Promise<Answer>;
  /** Its answer's body. @throws Error where the status is another */
  must(status: number, method: string, path: string, body?: unknown): Promise<Answer['body']>;
  /** Roomy by itself: what earlier tests still hold does not outweigh where a phone is registered. */
  addNode(
    name: string,
    o?: {
      capacity?: number;
      zone?: string;
      webSocket?: boolean;
      door?: string;
      clockOffsetMs?: number;
      withoutModules?: string[];
      host?: string;
    },
  ): Promise<Node>;
  addUser(username: string, o?: { displayName?: string; domain?: string }): Promise<string>;
  /** A user, and a phone of theirs at a node that Switchyard knows of. */
  addPhone(node: Node, username: string, behaviour?: PhoneBehaviour): Promise<SimulatedPhone>;
  call(from: string, to: string, extra?: Record<string, unknown>): Promise<PresentedCall>;
  readCall(id: string): Promise<PresentedCall>;
  callIs(id: string, state: string, timeoutMs?: number): Promise<PresentedCall>;
  /** Asked for until the node was told: its link may be down for a moment. */
  hangUp(id: string, url?: string): Promise<void>;
  eventsOf(callId: string): Promise<string[]>;
  nodeIs(node: Node, state: string, timeoutMs?: number): Promise<void>;
  /** Another Switchyard on the same stores. */
  addReplica(o?: Partial<Config>): Promise<RunningSwitchyard>;
  /** Asks as a node does, and again where the store is out of reach for a moment. */
  askXml(node: Asking, form: Record<string, string>): Promise<NodeAnswer>;
  askXmlOnce(node: Asking, form: Record<string, string>): Promise<NodeAnswer>;
  sendCdr(node: Node, body: string, type?: string): Promise<NodeAnswer>;
  close(): Promise<void>;
}

/** Phones of tests do not register again: theirs must last longer than any machine takes for a file. */
export const PHONE_SECONDS = 3600;

export { until };

export const passwordOf = (username: string): string => `password-of-${username}`;

/** As whatever keeps processes up does: a start that does not reach Postgres ends, and is tried again. */
function start(config: Config, logger: Logger, patience: DbPatience | undefined): Promise<RunningSwitchyard> {
  return until('Switchyard starts', () =>
    startSwitchyard(config, logger, patience).catch((error: unknown) => {
      if (!isUnreachable(error)) throw error;
      return undefined;
    }),
  );
}

export async function startApp(
  stores: Pick<TestStores, 'databaseUrl' | 'redisUrl' | 'redisPrefix'>,
  o: Partial<Config> = {},
  database: DbPatience | 'as everybody' = PATIENCE,
): Promise<App> {
  const patience = database === 'as everybody' ? undefined : database;
  const lines: string[] = [];
  const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
  const config: Config = {
    httpHost: '127.0.0.1',
    httpPort: 0,
    operationsHost: '127.0.0.1',
    operationsPort: 0,
    nodesHost: '127.0.0.1',
    nodesPort: undefined,
    publicUrl: undefined,
    trustedProxies: [],
    banNever: [],
    mediaNetworks: [],
    mediaTimeoutBrowserSeconds: 15,
    mediaTimeoutPhoneSeconds: 1800,
    holdLimitMinutes: 240,
    databaseUrl: stores.databaseUrl,
    // Many who enter a room at once wait for its row one after the other, each with a connection.
    databasePoolSize: 20,
    redisUrl: stores.redisUrl,
    redisPrefix: stores.redisPrefix,
    secretKey: SECRET,
    nodeJoinToken: JOIN_TOKEN,
    nodeApproval: 'never',
    nodeAllowedNetworks: ['127.0.0.0/8', '::1/128'],
    nodeWsHosts: [],
    nodeMaxUnits: 100_000,
    bootstrapApiKey: ADMIN_KEY,
    roles: ['api', 'worker', 'supervisor'],
    logLevel: 'debug',
    // By this a node is silent after a minute (they report every two seconds): a machine that has much to do takes reports in late.
    heartbeatSeconds: 20,
    healthSeconds: 0,
    canarySeconds: 0,
    maxCallHours: 24,
    nodeCommandTimeoutMs: 2000,
    nodeMinIdleCpuPercent: 0,
    placementPolicy: 'least_loaded',
    callQueueTimeoutMs: 20_000,
    callWorkers: 100,
    quotas: {},
    eventStreamsMax: 10_000,
    controlNetworks: [],
    nodeNetworks: [],
    turnUrls: [],
    turnSecret: undefined,
    relayHost: '127.0.0.1',
    relayPort: 0,
    relayListenHost: undefined,
    relayPorts: [[1, 65_535]],
    relayAllowPrivate: false,
    relayAllowedHosts: [],
    stunUrls: [],
    recordingsDir: join(tmpdir(), `recordings-${stores.redisPrefix}`),
    recordingsKeepDays: null,
    recordingsMaxBytes: 1_000_000_000,
    recordingsS3: undefined,
    ...o,
  };
  const first = await start(config, logger, patience);
  const replicas = [first];
  const nodes: Node[] = [];

  async function apiOnce(method: string, path: string, body?: unknown, url = first.url): Promise<Answer> {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${ADMIN_KEY}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      body: body ? JSON.stringify(body) : undefined,
      signal: AbortSignal.timeout(60_000),
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : undefined };
  }
  const api: App['api'] = (method, path, body, url) =>
    until(`${method} ${path} is answered`, async () => {
      const said = await apiOnce(method, path, body, url);
      // Nothing was changed by it, so it can be asked again. A fast machine asks more often than one key may.
      return ['unavailable', 'rate_limited'].includes(said.body?.code) ? undefined : said;
    });
  const must: App['must'] = async (status, method, path, body) => {
    const answer = await api(method, path, body);
    if (answer.status !== status) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const post = async (url: string, who: { name: string; password: string }, body: string, type: string) => {
    const authorization = `Basic ${Buffer.from(`${who.name}:${who.password}`).toString('base64')}`;
    const headers = { authorization, 'content-type': type };
    const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(60_000) });
    return { status: response.status, text: await response.text() };
  };
  const askXmlOnce: App['askXmlOnce'] = (node, form) =>
    post(node.xmlUrl, node, new URLSearchParams(form).toString(), 'application/x-www-form-urlencoded');

  /** A node that is not answered in time lets nobody in: the phone then tries again, as phones do. */
  const register = (node: Node, username: string, behaviour: PhoneBehaviour): Promise<SimulatedPhone> => {
    let refusal = '';
    return until(
      () => `${username} registers: ${refusal}`,
      () =>
        node
          .registerPhone({
            username,
            domain: DOMAIN,
            password: passwordOf(username),
            behaviour,
            expiresSeconds: PHONE_SECONDS,
          })
          .catch((error: unknown) => void (refusal = String(error))),
    );
  };

  const domainIsThere = async (): Promise<boolean> =>
    [201, 409].includes((await api('POST', '/v1/domains', { name: DOMAIN })).status);
  await until('there is a domain', domainIsThere).catch(async (error: unknown) => {
    await first.stop();
    throw error;
  });
  const app: App = {
    url: first.url,
    nodesUrl: first.nodesUrl,
    operationsUrl: first.operationsUrl,
    config,
    lines,
    api,
    apiOnce,
    must,
    async addNode(
      name,
      {
        capacity = 1000,
        zone = '',
        webSocket = false,
        door = first.nodesUrl,
        clockOffsetMs = 0,
        withoutModules = [],
        host = '127.0.0.1',
      } = {},
    ) {
      const port = await findFreePort(host);
      const ws = webSocket ? await findFreePort(host) : port;
      const query = `host=${host}&esl=${port}&sip=${port}&internode=${port}&ws=${ws}&zone=${zone}&capacity=${capacity}`;
      const xmlUrl = `${door}/freeswitch/xml?${query}`;
      const password = makeNodeSecret();
      await until(`${name} is enrolled`, async () => {
        const state = await enrolNode({ name, xmlUrl, secret: password }, JOIN_TOKEN).catch(() => undefined);
        return state === 'in';
      });
      const started = await startSimulatedNode({
        name,
        xmlUrl,
        password,
        heartbeatMs: 2000,
        clockOffsetMs,
        withoutModules,
        questionTimeoutMs: 120_000,
        bootTimeoutMs: 60_000,
        logger,
      });
      const row = (await must(200, 'GET', '/v1/nodes')).items.find((n: { name: string }) => n.name === name);
      const node = Object.create(started, {
        id: { value: row.id },
        xmlUrl: { value: xmlUrl },
        password: { value: password },
      }) as Node;
      nodes.push(node);
      await app.nodeIs(node, 'serving');
      return node;
    },
    async addUser(username, { displayName = '', domain = DOMAIN } = {}) {
      const user = { domain, username, password: passwordOf(username), displayName };
      return (await must(201, 'POST', '/v1/users', user)).id;
    },
    async addPhone(node, username, behaviour = {}) {
      const known = (await must(200, 'GET', `/v1/users?username=${username}&domain=${DOMAIN}`)).items;
      if (known.length === 0) await app.addUser(username);
      const before = known[0]?.registrations.length ?? 0;
      const phone = await register(node, username, behaviour);
      await until(`${username} is registered`, async () => {
        const [user] = (await must(200, 'GET', `/v1/users?username=${username}&domain=${DOMAIN}`)).items;
        return user.registrations.length > before;
      });
      return phone;
    },
    call: (from, to, extra = {}) => must(201, 'POST', '/v1/calls', { domain: DOMAIN, from, to, ...extra }),
    readCall: (id) => must(200, 'GET', `/v1/calls/${id}`),
    callIs(id, state, timeoutMs) {
      let call: PresentedCall | undefined;
      return until(
        () => `the call is ${state}: ${JSON.stringify(call)}`,
        async () => {
          call = await app.readCall(id);
          if (call.state === 'ended' && state !== 'ended') throw new Error(`it has ended: ${JSON.stringify(call)}`);
          return call.state === state ? call : undefined;
        },
        timeoutMs,
      );
    },
    async hangUp(id, url) {
      await until(`${id} is hung up`, async () => {
        const { status, body } = await api('POST', `/v1/calls/${id}/hangup`, undefined, url);
        if (![200, 503, 504].includes(status)) throw new Error(`hangup: ${status} ${JSON.stringify(body)}`);
        return status === 200;
      });
    },
    async eventsOf(callId) {
      const domain = encodeURIComponent(DOMAIN);
      const { items } = await must(200, 'GET', `/v1/events?format=json&limit=1000&domain=${domain}&callId=${callId}`);
      return items.map((e: { type: string }) => e.type);
    },
    nodeIs: async (node, state, timeoutMs) =>
      void (await until(
        `${node.name} is ${state}`,
        async () => (await api('GET', `/v1/nodes/${node.id}`)).body.state === state,
        timeoutMs,
      )),
    async addReplica(change = {}) {
      const replica = await start({ ...config, ...change }, logger, patience);
      replicas.push(replica);
      return replica;
    },
    askXml: (node, form) =>
      until('a node is answered', async () => {
        const said = await askXmlOnce(node, form);
        return said.status === 503 ? undefined : said;
      }),
    askXmlOnce,
    sendCdr: (node, body, type = 'application/json') => post(`${first.nodesUrl}/freeswitch/cdr`, node, body, type),
    async close() {
      await Promise.all(nodes.map((node) => node.kill()));
      for (const replica of replicas.reverse()) await replica.stop();
      await rm(config.recordingsDir, { recursive: true, force: true });
    },
  };
  return app;
}
