/** No Docker engine runs here: at least the file fits the code it starts. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { readNodeSecrets } from '../scripts/enrol-nodes';
import { readConfig } from '../src/config';
import { refuseAddress, type AddressRules } from '../src/domains/nodes/entering/address-guard';
import { readNodeAddress } from '../src/http/node.address';

interface ComposeService {
  image?: string;
  build?: string;
  network_mode?: string;
  command?: string[];
  ports?: string[];
  volumes?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
}

const root = resolve(__dirname, '..');
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
  expect(url.port).toBe(environmentOf('switchyard').HTTP_PORT);
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

test("coturn takes Switchyard's secret, at the port browsers are told, and reaches the nodes only", () => {
  const options = compose.services.coturn!.command!.map((option) => fill(option, example));
  const { TURN_URLS, TURN_SECRET } = environmentOf('switchyard');
  expect(options).toContain('--use-auth-secret');
  expect(options).toContain(`--static-auth-secret=${TURN_SECRET}`);
  expect(options).toContain('--listening-port=3478');
  for (const url of readConfig(environmentOf('switchyard')).turnUrls) expect(url).toMatch(/^turn:127\.0\.0\.1:3478\?/);
  expect(TURN_URLS).toContain('transport=tcp');
  for (const net of ['10.0.0.0-10.255.255.255', '127.0.0.0-127.255.255.255', '192.168.0.0-192.168.255.255']) {
    expect(options).toContain(`--denied-peer-ip=${net}`);
  }
  expect(options.filter((option) => option.startsWith('--allowed-peer-ip='))).toEqual(['--allowed-peer-ip=127.0.0.1']);
});

test('no port is used twice on the host', () => {
  const ports = ['node-1', 'node-2'].flatMap((name) => {
    const query = new URL(environmentOf(name).SWITCHYARD_XML_URL!).searchParams;
    return ['esl', 'sip', 'internode', 'ws'].map((key) => query.get(key));
  });
  const all = [...ports, '8080', '5432', '6379', '1935', '3478'];
  expect(new Set(all).size).toBe(all.length);
});

test('everything it builds from is pinned to a version', () => {
  const images = Object.values(compose.services).flatMap((service) => service.image ?? []);
  for (const image of images.filter((name) => !name.startsWith('switchyard'))) expect(fill(image, {})).toMatch(/:\d/);
});
