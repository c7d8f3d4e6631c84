/** How many directory questions a second Switchyard answers, against a constant document from node:http, in one run. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readConfig } from '../../src/config';
import { createDb } from '../../src/infra/stores/db';
import { createId } from '../../src/infra/ids';
import { createLogger } from '../../src/infra/logger';
import { migrateDb } from '../../src/infra/stores/migrate';
import { hashSipPassword, sealDigest } from '../../src/infra/secrets';
import { startSwitchyard } from '../../src/main';
import { enrolNode, makeNodeSecret } from '../nodes/enrol';
import { findFreePort } from '../stores/ports';
import { median, ownRole, round, serveRole, startRole, withStores, type Role } from './roles';
import { DOMAIN, passwordOf, questionOf, runRound, userName, type Round, type RoundResult } from './xml.load';

const COUNT = Number(process.argv[2] ?? 40_000);
const ROUNDS = Number(process.argv[3] ?? 7);
const USERS = 10_000;
const HOT_USERS = 100;
const CONNECTIONS = 16;
const ROUND_LIMIT_MS = 10_000;
const AIM = 0.5;
const SECRET = randomBytes(32);
const JOIN_TOKEN = 'bench-join-token-0123456789';
const NODE_SECRET = makeNodeSecret();
const CREDENTIALS = `bench:${NODE_SECRET}`;

async function seed(databaseUrl: string): Promise<void> {
  const db = createDb(databaseUrl, 2);
  await migrateDb(db);
  const domainId = createId();
  await db('domains').insert({ id: domainId, name: DOMAIN });
  const rows = Array.from({ length: USERS }, (_, i) => ({
    id: createId(),
    domain_id: domainId,
    username: userName(i),
    display_name: `User ${i}`,
    ha1: sealDigest(
      SECRET,
      { username: userName(i), domain: DOMAIN },
      hashSipPassword(userName(i), DOMAIN, passwordOf(i)),
    ),
  }));
  await db.batchInsert('users', rows, 1000);
  await db.raw('analyze');
  await db.destroy();
}

/** Switchyard as it always runs, with everything it does beside. */
async function serveSwitchyard(): Promise<{ port: number }> {
  const config = readConfig(process.env);
  const { url } = await startSwitchyard(config, createLogger(config.logLevel));
  return { port: Number(new URL(url).port) };
}

/** The least a server can do: read the question to its end, send the same bytes. */
async function serveConstant({ document }: { document: string }): Promise<{ port: number }> {
  const length = Buffer.byteLength(document);
  const server = createServer((request, response) => {
    request.on('data', () => undefined);
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/xml', 'content-length': length });
      response.end(document);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port };
}

async function firstAnswer(port: number, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(CREDENTIALS).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: questionOf(0),
  });
  const text = await response.text();
  if (response.status !== 200 || !text.includes('a1-hash')) throw new Error(`the first answer: ${response.status}`);
  return text;
}

/** With the server's own processor time for each answer: what no neighbour on the machine changes much. */
type Figures = RoundResult & { cpuMicros: number };

async function measure(roles: Record<'ours' | 'constant' | 'load', Role>): Promise<void> {
  const ours = await roles.ours.ask<{ port: number }>({}, 30_000);
  const path = `/freeswitch/xml?host=127.0.0.1&esl=${await findFreePort()}&sip=5060&internode=5080&ws=5066&rtp=16384-16999&zone=&capacity=100`;
  await enrolNode({ name: 'bench', xmlUrl: `http://127.0.0.1:${ours.port}${path}`, secret: NODE_SECRET }, JOIN_TOKEN);
  const document = await firstAnswer(ours.port, path);
  const constant = await roles.constant.ask<{ port: number }>({ document }, 10_000);
  const base = { path, credentials: CREDENTIALS, connections: CONNECTIONS, count: COUNT, limitMs: ROUND_LIMIT_MS };
  const kinds: Record<'constant' | 'all' | 'hot', Round> = {
    constant: { ...base, port: constant.port, users: USERS, expectUser: false },
    all: { ...base, port: ours.port, users: USERS, expectUser: true },
    hot: { ...base, port: ours.port, users: HOT_USERS, expectUser: true },
  };
  const names = ['constant', 'all', 'hot'] as const;
  const ask = async (name: (typeof names)[number]): Promise<Figures> => {
    const server = name === 'constant' ? roles.constant : roles.ours;
    const before = await server.ask<number>({}, 5000);
    const result = await roles.load.ask<RoundResult>(kinds[name], ROUND_LIMIT_MS + 10_000);
    return { ...result, cpuMicros: ((await server.ask<number>({}, 5000)) - before) / result.answers };
  };
  for (const name of names) await ask(name); // warm up
  const rounds: Record<(typeof names)[number], Figures>[] = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    const order = i % 2 ? [...names].reverse() : names;
    const results: Partial<Record<(typeof names)[number], Figures>> = {};
    for (const name of order) results[name] = await ask(name);
    rounds.push(results as Record<(typeof names)[number], Figures>);
  }
  const wrong = rounds.reduce((sum, r) => sum + r.all.wrong + r.hot.wrong + r.constant.wrong, 0);
  if (wrong > 0) throw new Error(`${wrong} answers were wrong`);
  const figures = (name: (typeof names)[number]): Record<string, number> => ({
    perSecond: round(median(rounds.map((r) => r[name].perSecond))),
    p50Ms: round(median(rounds.map((r) => r[name].p50)), 2),
    p99Ms: round(median(rounds.map((r) => r[name].p99)), 2),
    serverMicrosPerAnswer: round(median(rounds.map((r) => r[name].cpuMicros)), 1),
  });
  console.log(
    `sip_auth questions of ${Buffer.byteLength(questionOf(0))} bytes with Basic credentials, ${CONNECTIONS} keep-alive ` +
      `connections, answers of ${Buffer.byteLength(document)} bytes. "all" asks ${USERS} users one after the other, "hot" ` +
      `${HOT_USERS} of them; "constant" is node:http that reads the question and sends the same document. Each server and ` +
      `the asker have a process of their own; ${ROUNDS} rounds of ${COUNT} answers each, interleaved; medians.`,
  );
  for (const name of names) console.log(JSON.stringify({ [name]: figures(name) }));
  const ratio = (name: 'all' | 'hot'): number =>
    round(median(rounds.map((r) => r[name].perSecond / r.constant.perSecond)), 3);
  console.log(JSON.stringify({ medianRatioAll: ratio('all'), medianRatioHot: ratio('hot'), aim: AIM }));
}

async function main(): Promise<void> {
  await withStores(async (stores) => {
    await seed(stores.databaseUrl);
    const env = {
      DATABASE_URL: stores.databaseUrl,
      REDIS_URL: stores.redisUrl,
      HTTP_PORT: String(await findFreePort()),
      OPERATIONS_PORT: '0',
      SWITCHYARD_SECRET: SECRET.toString('base64'),
      NODE_JOIN_TOKEN: JOIN_TOKEN,
      NODE_APPROVAL: 'never',
      NODE_ALLOWED_NETWORKS: '127.0.0.0/8',
      LOG_LEVEL: 'error',
    };
    const roles = {
      ours: startRole(__filename, 'ours', env),
      constant: startRole(__filename, 'constant'),
      load: startRole(__filename, 'load'),
    };
    try {
      await measure(roles);
    } finally {
      for (const role of Object.values(roles)) role.stop();
    }
  });
}

/** Starts the server at the first order; every later one asks what processor time the process has used, in µs. */
function oncePort<O>(start: (order: O) => Promise<{ port: number }>): (order: O) => Promise<unknown> {
  let port: Promise<{ port: number }> | undefined;
  return async (order) => {
    if (!port) return (port = start(order));
    const { user, system } = process.cpuUsage();
    return user + system;
  };
}

if (ownRole === 'ours') serveRole(oncePort(serveSwitchyard));
else if (ownRole === 'constant') serveRole(oncePort(serveConstant));
else if (ownRole === 'load') serveRole(runRound);
else
  main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
