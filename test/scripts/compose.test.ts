/** No Docker engine runs here: at least the file fits the code it starts, and what it starts by a script is started so. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import { startChild, type Child } from '../../scripts/child';
import { readNodeSecrets } from '../../scripts/nodes/enrol-nodes';
import { findFreePort } from '../../scripts/stores/ports';
import { findProgram } from '../../scripts/stores/redis';
import { readConfig } from '../../src/config';
import { turnServerBinary } from '../browser/programs/turn-server';
import { askPermissions } from '../turn-client';
import { describeUnless } from '../real-node';
import { until } from '../until';
import { refuseAddress, type AddressRules } from '../../src/domains/nodes/entering/address-guard';
import { readNodeAddress } from '../../src/http/nodes/node-address';

interface ComposeService {
  image?: string;
  build?: string;
  network_mode?: string;
  entrypoint?: string[];
  command?: string[];
  user?: string;
  cap_drop?: string[];
  cap_add?: string[];
  security_opt?: string[];
  read_only?: boolean;
  tmpfs?: string[];
  profiles?: string[];
  logging?: { options: Record<string, string> };
  ports?: string[];
  volumes?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
}

const root = resolve(__dirname, '..', '..');
const text = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
const compose = parse(text, { merge: true }) as { services: Record<string, ComposeService> };

/** `${NAME:-default}` and `${NAME:?hint}` as Docker fills them in. */
function fill(value: string, env: Record<string, string>): string {
  return value.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_all, name: string, kind?: string, rest?: string) => {
    const found = env[name] ?? (kind === '-' ? rest : undefined);
    if (found === undefined) throw new Error(`${name} is not set`);
    return found;
  });
}

const example = Object.fromEntries(
  readFileSync(join(root, '.env.example'), 'utf8')
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line))
    .map((line) => [line.split('=')[0]!, 'x'.repeat(32)]),
);
example.SWITCHYARD_SECRET = Buffer.alloc(32, 1).toString('base64');

const environmentOf = (name: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(compose.services[name]?.environment ?? {}).map(([key, value]) => [
      key,
      fill(String(value), example),
    ]),
  );

test('it has stores, Switchyard, two nodes, somewhere to relay to and a way through NAT', () => {
  expect(Object.keys(compose.services).sort()).toEqual([
    'coturn',
    'enrol',
    'node-1',
    'node-2',
    'postgres',
    'redis',
    'rtmp',
    'switchyard',
  ]);
});

test('with .env.example filled in, Switchyard reads its configuration', () => {
  const config = readConfig(environmentOf('switchyard'));
  expect(config.httpPort).toBe(8080);
  expect(config.databaseUrl).toContain('@127.0.0.1:5432/switchyard');
});

test('every variable of Switchyard is one that config.ts knows', () => {
  const known = readFileSync(join(root, 'src', 'config.ts'), 'utf8');
  for (const name of Object.keys(environmentOf('switchyard'))) expect(known).toContain(`${name}:`);
});

test('stores are published on loopback only, under the ports Switchyard uses', () => {
  expect(compose.services.postgres?.ports?.map((port) => fill(port, {}))).toEqual(['127.0.0.1:5432:5432']);
  expect(compose.services.redis?.ports?.map((port) => fill(port, {}))).toEqual(['127.0.0.1:6379:6379']);
});

test.each(['node-1', 'node-2'])('%s runs with what lies in freeswitch/, and knows where to ask', (name) => {
  const node = compose.services[name]!;
  expect(node.volumes).toContain('./freeswitch:/etc/freeswitch:ro');
  expect(node.network_mode).toBe('host');
  const env = environmentOf(name);
  const known = readFileSync(join(root, 'freeswitch', 'freeswitch.xml'), 'utf8');
  for (const variable of Object.keys(env)) expect(known).toContain(`$${variable}`);
  expect(env.SWITCHYARD_NODE_NAME).toBe(name);
  // Its own secret alone, which `enrol` has made known before it starts.
  expect(Object.keys(env).filter((variable) => /TOKEN|API_KEY/.test(variable))).toEqual([]);
  expect(readNodeSecrets(environmentOf('enrol').NODE_SECRETS!)).toContainEqual({
    name,
    secret: env.SWITCHYARD_NODE_PASSWORD,
  });
  expect(node.depends_on).toMatchObject({ enrol: { condition: 'service_completed_successfully' } });
  const url = new URL(env.SWITCHYARD_XML_URL!);
  expect(url.port).toBe(environmentOf('switchyard').NODES_PORT);
  expect(url.searchParams.get('rtp')).toBe(`${env.SWITCHYARD_RTP_FROM}-${env.SWITCHYARD_RTP_TO}`);
});

test("the nodes' addresses are taken, and enrolment runs what is built", () => {
  const config = readConfig(environmentOf('switchyard'));
  const rules: AddressRules = {
    ...{ allowedNetworks: config.nodeAllowedNetworks, wsHosts: config.nodeWsHosts, maxUnits: config.nodeMaxUnits },
    ...{ storeHosts: ['127.0.0.1'], storePorts: [5432, 6379], ownHosts: ['127.0.0.1'], ownPort: config.httpPort },
  };
  for (const name of ['node-1', 'node-2']) {
    const { pathname, search } = new URL(environmentOf(name).SWITCHYARD_XML_URL!);
    expect(refuseAddress(readNodeAddress(`${pathname}${search}`)!, rules)).toBeUndefined();
  }
  const [, program] = compose.services.enrol!.command!;
  expect(existsSync(join(root, program!.replace(/^dist\/(.*)\.js$/, '$1.ts')))).toBe(true);
});

test('what is in .env reaches Switchyard: no setting is left out, and a default is not in the way', () => {
  const source = readFileSync(join(root, 'src', 'config.ts'), 'utf8');
  const schema = source.slice(source.indexOf('z.object({'), source.indexOf('type Environment'));
  const known = [...schema.matchAll(/^ {2}([A-Z][A-Z0-9_]+): /gm)].map((match) => match[1]!);
  expect(known.length).toBeGreaterThan(30);
  const given = compose.services.switchyard!.environment!;
  // Made here, from settings that others share.
  const ours = ['DATABASE_URL', 'REDIS_URL', 'RECORDINGS_DIR', 'NODES_HOST', 'TURN_URLS', 'STUN_URLS'];
  for (const name of known.filter((each) => !ours.includes(each)))
    expect([name, fill(given[name] ?? '', { ...example, [name]: 'said', NODE_HOST: '' })]).toEqual([
      name,
      expect.stringMatching(/(^|,)said$/),
    ]);
  expect(readConfig({ ...environmentOf('switchyard') })).toMatchObject({
    canarySeconds: 300,
    trustedProxies: ['127.0.0.0/8', '::1'],
  });
});

test('where nodes are dialled at an address of their own, their Event Socket is told to listen there', () => {
  const env = { ...example, NODE_HOST: '192.0.2.10', CONTROL_NETWORKS: '10.0.0.0/8' };
  expect(fill(compose.services.switchyard!.environment!.CONTROL_NETWORKS!, env)).toBe('192.0.2.10,10.0.0.0/8');
  expect(readConfig(environmentOf('switchyard')).controlNetworks).toEqual(['127.0.0.1']);
});

test('the doors of nodes and what is for operators are on loopback, beside the port of the API', () => {
  const config = readConfig(environmentOf('switchyard'));
  expect([config.nodesHost, config.nodesPort]).toEqual(['127.0.0.1', 8088]);
  expect([config.operationsHost, config.operationsPort]).toEqual(['127.0.0.1', 8090]);
  expect(new Set([config.httpPort, config.nodesPort, config.operationsPort]).size).toBe(3);
});

describe.each(Object.entries(compose.services))('%s', (name, service) => {
  test('is no root, has no capability that it does not use, gains none, writes into nothing but its volumes', () => {
    expect(service.user ?? (name === 'switchyard' ? '1000:1000' : undefined)).toMatch(/^(?!root\b|0\b)\w/);
    expect(service.cap_drop).toEqual(['ALL']);
    expect(service.cap_add ?? []).toEqual(name === 'coturn' ? ['NET_BIND_SERVICE'] : []);
    expect(service.security_opt).toEqual(['no-new-privileges:true']);
    expect([service.read_only, service.tmpfs?.length]).toEqual([true, expect.any(Number)]);
  });

  test('fills no disk with what it says', () => {
    expect(service.logging?.options).toMatchObject({ 'max-size': '20m', 'max-file': '5' });
  });

  test('has no secret in a command line', () => {
    const line = [...(service.entrypoint ?? []), ...(service.command ?? [])].join(' ');
    // `$$` is the container's own shell, which hands it to a builtin; `$` would be put in by Docker.
    expect(line).not.toMatch(/(?<!\$)\$\{?\w*(PASSWORD|SECRET|TOKEN|KEY)/);
  });
});

test('Switchyard is no root in its own image either, by number', () => {
  const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');
  expect(dockerfile).toMatch(/^USER 1000:1000$/m);
  expect(dockerfile).toContain(`OPERATIONS_PORT=${readConfig(environmentOf('switchyard')).operationsPort}`);
  const readable = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
  expect(readable).toContain('*');
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap((match) => match[1]!.split(' '));
  expect(readable.filter((line) => line.startsWith('!')).map((line) => line.slice(1))).toEqual(copied);
});

test('a node keeps what it has recorded when its container is made anew; nothing of it is anybody else’s to read', () => {
  for (const name of ['node-1', 'node-2']) {
    const node = compose.services[name]!;
    expect(node.volumes).toContain(`${name}:/kept`);
    expect(node.command!.at(-1)).toMatch(/^umask 077\n[^]* -recordings \/kept\n$/);
    expect(node.tmpfs).toContain('/state:uid=1000,gid=1000,mode=0700');
    expect(node.user).toBe('1000:1000');
  }
});

test('the toy to relay to is not there unless it is asked for', () => {
  const always = Object.entries(compose.services).filter(([, { profiles }]) => profiles === undefined);
  expect(always.map(([name]) => name)).not.toContain('rtmp');
});

/** Runs a service's own script as it stands, with this machine's programs, paths and ports. */
function runScript(name: string, env: Record<string, string>, paths: Record<string, string>, logFile: string): Child {
  const service = compose.services[name]!;
  let script = service.command!.at(-1)!.replaceAll('$$', '$');
  for (const [from, to] of Object.entries(paths)) script = script.replaceAll(from, to);
  const [command = '', ...args] = service.entrypoint!;
  const given = { ...environmentOf(name), ...env, PATH: process.env.PATH };
  return startChild({ name, command, args: [...args, script], env: given, logFile });
}

const commandLines = (): string =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      } catch {
        return ''; // it has ended
      }
    })
    .join('\n');

describe('as it is started', () => {
  let dir: string;
  let child: Child | undefined;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'switchyard-compose-'))));
  afterEach(async () => {
    await child?.stop();
    child = undefined;
    rmSync(dir, { recursive: true, force: true });
  });

  describeUnless(!findProgram('redis-server') && 'no redis-server found on PATH', 'Redis', () => {
    test('asks for the password, which no command line shows', async () => {
      const port = await findFreePort();
      const REDIS_PASSWORD = 'a-password-of-redis-0123456789';
      const paths = { '/tmp/': `${dir}/`, '--dir /data': `--dir ${dir} --bind 127.0.0.1 --port ${port}` };
      child = runScript('redis', { REDIS_PASSWORD }, paths, join(dir, 'redis.log'));
      const redis = new Redis(`redis://:${REDIS_PASSWORD}@127.0.0.1:${port}`, { lazyConnect: true });
      redis.on('error', () => undefined);
      try {
        await until('it answers', async () => (await redis.ping().catch(() => '')) === 'PONG');
        expect(await redis.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
        expect(await redis.config('GET', 'appendonly')).toEqual(['appendonly', 'yes']);
        const stranger = new Redis(port, '127.0.0.1', { lazyConnect: true });
        stranger.on('error', () => undefined);
        await expect(stranger.ping()).rejects.toThrow(/NOAUTH/);
        stranger.disconnect();
      } finally {
        redis.disconnect();
      }
      expect(commandLines()).not.toContain(REDIS_PASSWORD);
    });
  });

  describeUnless(!turnServerBinary() && 'no turnserver found (TURNSERVER_BIN or PATH)', 'coturn', () => {
    test('lets a guest reach the node, and nothing else of private networks', async () => {
      const port = await findFreePort();
      const env = { TURN_SECRET: 'a-secret-of-coturn-0123456789', TURN_PORT: String(port), TURN_PEERS: '10.77.0.31' };
      const local = '"listening-ip=127.0.0.1" "relay-ip=127.0.0.1" "pidfile=DIR/x.pid" "userdb=DIR/x.db"'.replaceAll(
        'DIR',
        dir,
      );
      const paths = {
        // First: this project may itself be somewhere below.
        '/tmp/': `${dir}/`,
        '/etc/switchyard-turn.conf': join(root, 'scripts', 'kubernetes', 'turn', 'turnserver.conf'),
        '"listening-port': `${local} "listening-port`,
      };
      child = runScript('coturn', env, paths, join(dir, 'coturn.log'));
      const denied = [
        '10.77.0.32',
        '127.0.0.1',
        '127.9.9.9',
        '0.0.0.0',
        '169.254.169.254',
        '172.16.5.5',
        '192.168.1.1',
      ];
      const ask = () =>
        askPermissions(port, env.TURN_SECRET, ['10.77.0.31', '203.0.113.9', ...denied, '100.64.1.1', '224.0.0.1']);
      const answers = await ask();
      expect(Object.fromEntries(answers)).toEqual({
        '10.77.0.31': 0,
        '203.0.113.9': 0,
        ...Object.fromEntries([...denied, '100.64.1.1', '224.0.0.1'].map((address) => [address, 403])),
      });
      await expect(askPermissions(port, 'another-secret', [])).rejects.toThrow('No relay: 401');
      expect(commandLines()).not.toContain(env.TURN_SECRET);
    });
  });
});

test("coturn has Switchyard's secret and port, and reaches of private networks the nodes only", () => {
  const { TURN_SECRET, TURN_PORT, TURN_PEERS } = environmentOf('coturn');
  const config = readConfig(environmentOf('switchyard'));
  expect([TURN_SECRET, TURN_PEERS]).toEqual([config.turnSecret, '127.0.0.1']);
  for (const url of config.turnUrls) expect(url).toMatch(new RegExp(`^turn:127\\.0\\.0\\.1:${TURN_PORT}\\?`));
  expect(config.turnUrls.join()).toContain('transport=tcp');
});

test('no port is used twice on the host', () => {
  const ports = ['node-1', 'node-2'].flatMap((name) => {
    const query = new URL(environmentOf(name).SWITCHYARD_XML_URL!).searchParams;
    return ['esl', 'sip', 'internode', 'ws'].map((key) => query.get(key));
  });
  const all = [...ports, '8080', '8088', '8090', '5432', '6379', '1935', '3478'];
  expect(new Set(all).size).toBe(all.length);
});

test('everything it builds from is pinned to a whole version', () => {
  const files = ['Dockerfile', 'freeswitch/Dockerfile', 'scripts/rtmp/Dockerfile'].map((file) =>
    readFileSync(join(root, file), 'utf8'),
  );
  const built = files.flatMap((text) =>
    [...text.matchAll(/^(?:FROM|ARG FREESWITCH_IMAGE)[ =](\S+)/gm)].map((m) => m[1]!),
  );
  const run = Object.values(compose.services).flatMap((service) => service.image ?? []);
  const names = [...built.filter((name) => !name.startsWith('$')), ...run.filter((name) => !/^switchyard/.test(name))];
  expect(names.length).toBeGreaterThan(6);
  for (const name of names) expect(name).toMatch(/:\d+\.\d+(\.\d+)?(-[a-z-]+)?$/);
});
