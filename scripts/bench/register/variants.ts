/** The nodes that are compared: one that has its users on disk and asks nobody, and one for each Switchyard. */
import { randomBytes } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readConfig } from '../../../src/config';
import { openNodePassword } from '../../../src/domains/nodes/entering/node-password';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { openConnection } from '../../../src/freeswitch/esl';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { hashSipPassword, sealDigest } from '../../../src/infra/secrets';
import { createDb, type Db } from '../../../src/infra/stores/db';
import { createApiClient, waitFor } from '../../api/client';
import { startChild, type Child } from '../../child';
import { enrolAsAdmin, makeNodeSecret } from '../../nodes/enrol';
import { launchRealNode, type RealNode } from '../../nodes/launch-node';
import { xmlUrlOf } from '../../nodes/media-nodes';
import { findFreePort } from '../../stores/ports';
import type { Stores } from '../../stores/stores';

export const DOMAIN = 'bench.test';
const API_KEY = 'sk_bench_admin_key_of_switchyard';
const WAIT_MS = 60_000;

export interface User {
  username: string;
  password: string;
}

export interface Variant {
  name: string;
  sipPort: number;
  node: RealNode;
  /** What runs beside the node while it is measured. */
  begin(): Promise<{ pid: number; end(): Promise<void> } | undefined>;
  /** Nobody is registered any more, here and there. */
  clear(): Promise<void>;
  /** Registrations that Switchyard knows of; undefined where there is none. */
  countKnown(): Promise<number> | undefined;
  stop(): Promise<void>;
}

export interface VariantOptions {
  name: string;
  /** The folder of the Switchyard, with its node_modules. */
  checkout: string;
  stores: Stores;
  binary: string;
  dir: string;
  users: readonly User[];
  /** Its node has the users on disk, and nothing else runs while it is measured. */
  onDisk: boolean;
}

/** A configuration whose users stand in it. */
async function putOnDisk(folder: string, users: readonly User[]): Promise<void> {
  const rows = users.map(
    ({ username, password }) =>
      `<user id="${username}"><params><param name="a1-hash" value="${hashSipPassword(username, DOMAIN, password)}"/></params></user>`,
  );
  const section = `<section name="directory"><domain name="${DOMAIN}"><groups><group name="all"><users>
${rows.join('\n')}
</users></group></groups></domain></section>`;
  const main = join(folder, 'freeswitch.xml');
  await writeFile(main, (await readFile(main, 'utf8')).replace('</document>', `${section}\n</document>`));
  const curl = join(folder, 'autoload_configs', 'xml_curl.conf.xml');
  const asked = (await readFile(curl, 'utf8')).replace(/<binding name="users[\s\S]*?<\/binding>/g, '');
  await writeFile(curl, asked.replaceAll('|directory', ''));
}

async function seedUsers(db: Db, secret: Buffer, users: readonly User[]): Promise<void> {
  const domainId = createId();
  await db('domains').insert({ id: domainId, name: DOMAIN });
  const rows = users.map(({ username, password }) => ({
    id: createId(),
    domain_id: domainId,
    username,
    ha1: sealDigest(secret, { username, domain: DOMAIN }, hashSipPassword(username, DOMAIN, password)),
  }));
  await db.batchInsert('users', rows, 1000);
  await db.raw('analyze');
}

export async function openVariant(o: VariantOptions): Promise<Variant> {
  const database = `bench_${randomBytes(4).toString('hex')}`;
  const admin = createDb(o.stores.databaseUrl, 1);
  await admin.raw(`create database ${database}`);
  await admin.destroy();
  const databaseUrl = Object.assign(new URL(o.stores.databaseUrl), { pathname: `/${database}` }).toString();
  const settings = {
    HTTP_PORT: String(await findFreePort()),
    OPERATIONS_PORT: '0',
    DATABASE_URL: databaseUrl,
    REDIS_URL: o.stores.redisUrl,
    REDIS_PREFIX: database.replace('_', '-'),
    SWITCHYARD_SECRET: randomBytes(32).toString('base64'),
    NODE_ALLOWED_NETWORKS: '127.0.0.0/8,::1',
    BOOTSTRAP_API_KEY: API_KEY,
    HEALTH_SECONDS: '0',
    CANARY_SECONDS: '0',
    LOG_LEVEL: 'warn',
  };
  const url = `http://127.0.0.1:${settings.HTTP_PORT}`;
  const api = createApiClient(url, API_KEY);

  async function startReplica(): Promise<Child> {
    const child = startChild({
      name: o.name,
      command: process.execPath,
      args: ['--import', 'tsx', 'src/main.ts'],
      cwd: o.checkout,
      env: { PATH: process.env.PATH, ...settings },
      logFile: join(o.dir, 'switchyard.log'),
      stopTimeoutMs: 10_000,
    });
    const isThere = (): Promise<unknown> => api.get('/v1/nodes').catch(() => undefined);
    await waitFor('Switchyard', isThere, (answer) => answer !== undefined || !child.isRunning(), WAIT_MS);
    if (!child.isRunning()) throw new Error(`Switchyard in ${o.checkout} did not start:\n${child.lastLines()}`);
    return child;
  }
  const isServing = (): Promise<unknown> =>
    waitFor(
      'the node to serve',
      () => api.get<{ items: { state: string }[] }>('/v1/nodes'),
      ({ items }) => items[0]?.state === 'serving',
      WAIT_MS,
    );

  await mkdir(o.dir, { recursive: true, mode: 0o711 });
  const first = await startReplica();
  const db = createDb(databaseUrl, 2);
  const { secretKey } = readConfig(settings);
  await seedUsers(db, secretKey, o.users);
  const configuration = join(o.dir, 'configuration');
  await cp(join(o.checkout, 'freeswitch'), configuration, { recursive: true });
  if (o.onDisk) await putOnDisk(configuration, o.users);
  const [sipPort, internodePort, wsPort, eslPort] = [
    ...[await findFreePort(), await findFreePort(), await findFreePort(), await findFreePort()],
  ] as [number, number, number, number];
  const ports = { sipPort, internodePort, wsPort, eslPort, rtpFrom: 28_000, rtpTo: 28_400 };
  const plan = { name: 'bench', kind: 'real' as const, host: '127.0.0.1', wsUrl: `ws://127.0.0.1:${wsPort}`, ...ports };
  const password = makeNodeSecret();
  const xmlUrl = xmlUrlOf(plan, url);
  await enrolAsAdmin(api, { name: plan.name, xmlUrl, secret: password });
  const node = await launchRealNode({
    ...{ binary: o.binary, dir: join(o.dir, 'node'), name: plan.name, xmlUrl, password, configuration },
    env: { SWITCHYARD_LOG_LEVEL: 'warning' },
  });
  await isServing();
  await first.stop();

  async function command(line: string): Promise<string> {
    const row = (await db('nodes').first()) as NodeRow;
    const connection = await openConnection({
      ...{ host: '127.0.0.1', port: eslPort, password: openNodePassword(secretKey, row), connectTimeoutMs: 10_000 },
      logger: createLogger('silent'),
    });
    return (await connection.api({ line }, { timeoutMs: 30_000 }).finally(() => connection.close())).text;
  }
  return {
    name: o.name,
    sipPort,
    node,
    async begin() {
      if (o.onDisk) return undefined;
      const child = await startReplica();
      await isServing();
      return { pid: (await child.pid)!, end: () => child.stop() };
    },
    async clear() {
      await command('sofia profile internal flush_inbound_reg');
      await waitFor(
        'the node to forget all phones',
        () => command('show registrations count'),
        (text) => /\b0 total/.test(text),
        WAIT_MS,
      );
      await db('registrations').delete();
    },
    countKnown: () =>
      o.onDisk
        ? undefined
        : db('registrations')
            .count('* as count')
            .then(([row]) => Number(row!.count)),
    async stop() {
      await node.stop();
      await db.destroy();
    },
  };
}
