/** Turns the environment into one frozen Config and reports every fault at once, so a start fails before it half-runs. */
import { z } from 'zod';
import { findMisspelt } from './config-names';
import { readNetwork } from './address';
import { describeIssue } from './schema-faults';

const port = z.coerce.number().int().min(0).max(65535);
const ms = z.coerce.number().int().min(1);

const urlList = (pattern: RegExp, example: string) =>
  z
    .string()
    .default('')
    .transform((text) => text.split(',').map((url) => url.trim()))
    .transform((urls) => urls.filter((url) => url !== ''))
    .refine((urls) => urls.every((url) => pattern.test(url)), `must be addresses like ${example}, separated by commas`);

/** Addresses and networks as ADDRESS/BITS, each in its one spelling. */
const networkList = z
  .string()
  .transform((text) => text.split(',').map((network) => network.trim()))
  .transform((networks) => networks.filter((network) => network !== ''))
  .transform((networks) => networks.map(readNetwork))
  .refine(
    (networks): networks is string[] => networks.every((network) => network !== undefined),
    'must be addresses or networks like 10.0.0.0/8 or 2001:db8::/32, without a zone, separated by commas',
  );

/** `443` or `8000-8010`, as first and last. */
function readPortRange(text: string): readonly [number, number] | undefined {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const range = [Number(first), Number(last ?? first)] as const;
  return range[0] >= 1 && range[0] <= range[1] && range[1] <= 65_535 ? range : undefined;
}

const portRanges = z
  .string()
  .transform((text) => text.split(',').map((range) => readPortRange(range.trim())))
  .refine(
    (ranges): ranges is (readonly [number, number])[] => ranges.every((range) => range !== undefined),
    'must be ports or ranges of them like 1935,443,8000-8010',
  );

const isSecret = (text: string): boolean => Buffer.from(text, 'base64').length === 32;
/** NAME=NUMBER, with commas between. */
const amounts = z
  .string()
  .regex(/^(\s*[A-Za-z]+\s*=\s*\d{1,15}\s*(,|$))*$/, 'must be like units=500,ringingCalls=100')
  .transform((text) => text.split(',').filter((pair) => pair.trim() !== ''))
  .transform((pairs) => pairs.map((pair) => pair.split('=').map((part) => part.trim())))
  .transform((pairs) => Object.fromEntries(pairs.map(([name = '', amount]) => [name, Number(amount)])));

const hostList = z
  .string()
  .transform((text) => text.split(',').map((host) => host.trim()))
  .transform((hosts) => hosts.filter((host) => host !== ''))
  .refine(
    (hosts) => hosts.every((host) => /^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/.test(host)),
    'must be hosts like media.example.org or *.media.example.org, separated by commas',
  );

const schema = z.object({
  HTTP_HOST: z.string().default('127.0.0.1'),
  HTTP_PORT: port.default(8080),
  /** Where /metrics and the details of /readyz are: they name nodes and volumes, and are nobody's but the operator's. */
  OPERATIONS_HOST: z.string().default('127.0.0.1'),
  OPERATIONS_PORT: port.default(8090),
  /** With NODES_PORT the nodes' doors (/freeswitch/…) are there and nowhere else; without, on the port of the API. */
  NODES_HOST: z.string().default('127.0.0.1'),
  NODES_PORT: port.optional(),
  /** Where nodes and browsers reach this Switchyard; used in answers, never guessed from a Host header. */
  PUBLIC_URL: z.url().optional(),
  /** Whose X-Forwarded-For is believed: proxies that end TLS. */
  TRUSTED_PROXIES: networkList.prefault('127.0.0.0/8,::1'),
  /** Addresses and networks that are never banned, beside the pool's own and TRUSTED_PROXIES. */
  BAN_NEVER: networkList.prefault(''),
  /** Where a phone's media may go beside where it signals from: media servers of a PBX or SBC. */
  MEDIA_NETWORKS: networkList.prefault(''),
  /** A browser of which nothing was heard for so long is gone: one that lives sends something every few seconds. */
  MEDIA_TIMEOUT_BROWSER_SECONDS: z.coerce.number().min(1).max(3600).default(15),
  /** The same of a telephone, which may send nothing while it is muted or nobody speaks. */
  MEDIA_TIMEOUT_PHONE_SECONDS: z.coerce.number().min(10).max(86_400).default(1800),
  /** A call that was on hold for longer than this is hung up. */
  HOLD_LIMIT_MINUTES: z.coerce.number().min(0.05).max(1440).default(240),
  DATABASE_URL: z.url(),
  DATABASE_POOL_SIZE: z.coerce.number().int().min(2).max(200).default(20),
  REDIS_URL: z.url(),
  /** Lets several Switchyards share one Redis. */
  REDIS_PREFIX: z
    .string()
    .regex(/^[a-z0-9-]+$/)
    .default('switchyard'),
  /** 32 random bytes in base64, from which all keys are derived: they seal what is kept, and sign tokens. */
  SWITCHYARD_SECRET: z.string().refine(isSecret, 'must be 32 bytes in base64 (make one with: openssl rand -base64 32)'),
  /** Secrets that are still read, with commas between: former ones until all is sealed again, or the next one. */
  SWITCHYARD_SECRET_OLD: z
    .string()
    .default('')
    .transform((text) => text.split(',').map((secret) => secret.trim()))
    .transform((secrets) => secrets.filter((secret) => secret !== ''))
    .refine((secrets) => secrets.every(isSecret), 'must be secrets of 32 bytes in base64, separated by commas'),
  /** Lets a node of any name enrol, again and again; left out: only tokens for one name do (POST /v1/nodes/tokens). */
  NODE_JOIN_TOKEN: z.string().min(16).optional(),
  /** Which new nodes wait for an admin's yes: those that came by NODE_JOIN_TOKEN, none, or all. */
  NODE_APPROVAL: z.enum(['join_token', 'never', 'always']).default('join_token'),
  /** Where nodes may be although it is loopback, link-local, or the address of a store. */
  NODE_ALLOWED_NETWORKS: networkList.prefault(''),
  /** Hosts to which a node may send browsers (wsUrl) beside its own; *.example.org stands for all below it. */
  NODE_WS_HOSTS: hostList.prefault(''),
  /** The most that a node may say it can carry. */
  NODE_MAX_UNITS: z.coerce.number().min(1).max(1_000_000).default(1000),
  /** Made an admin API key at the first start, so that there is a first key. */
  BOOTSTRAP_API_KEY: z.string().min(24).optional(),
  /** What this replica does: `api` answers, `worker` dials, `supervisor` follows the nodes. */
  ROLES: z
    .string()
    .default('api,worker,supervisor')
    .transform((text) => text.split(',').map((role) => role.trim()))
    .pipe(z.array(z.enum(['api', 'worker', 'supervisor'])).min(1)),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  HEARTBEAT_SECONDS: z.coerce.number().int().min(1).max(60).default(2),
  /** How often a node's conferences and its WebSocket port are looked at; 0: never. */
  HEALTH_SECONDS: z.coerce.number().min(0).max(3600).default(5),
  /** How often a synthetic call proves that a node mixes, records and is heard; 0: only when it is asked for. */
  CANARY_SECONDS: z.coerce.number().min(0).max(86_400).default(300),
  /** A call answered for longer than this was forgotten, and is hung up. */
  MAX_CALL_HOURS: z.coerce.number().min(0.001).max(8760).default(24),
  NODE_COMMAND_TIMEOUT_MS: ms.default(5000),
  /** A node with less idle CPU gets no new call. FreeSWITCH reports the whole machine's; 0 leaves it to the score. */
  NODE_MIN_IDLE_CPU_PERCENT: z.coerce.number().min(0).max(90).default(0),
  /** Which of the nodes that can takes a call; src/domains/nodes/selection/policies.ts. */
  PLACEMENT_POLICY: z.enum(['least_loaded', 'zone_first', 'two_choices', 'sticky']).default('least_loaded'),
  CALL_QUEUE_TIMEOUT_MS: ms.default(30000),
  /** From where replicas reach the nodes' Event Sockets, beside the address of the one that answers a node. */
  CONTROL_NETWORKS: networkList.prefault(''),
  /** Where nodes may be, beside the addresses that are known when a node starts: they send each other calls. */
  NODE_NETWORKS: networkList.prefault(''),
  /** coturn's addresses as browsers reach them, comma-separated: `turn:host:3478?transport=udp`, `turns:…`. */
  TURN_URLS: urlList(/^turns?:[^\s,]+$/, 'turn:host:port'),
  /** coturn's `static-auth-secret`: credentials are made from it, and end with the grant. */
  TURN_SECRET: z.string().min(16).optional(),
  STUN_URLS: urlList(/^stuns?:[^\s,]+$/, 'stun:host:port'),
  /** Under which address nodes reach this replica's RTMP listener. */
  RELAY_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:-]+$/)
    .default('127.0.0.1'),
  /** 0: any free port. */
  RELAY_PORT: port.default(0),
  /** Where this replica listens for relays; RELAY_HOST where it is left out, which has to be this machine's then. */
  RELAY_LISTEN_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:-]+$/)
    .optional(),
  /** Ports that relays may go to, and ranges of them: 1935,443,19350-19360. */
  RELAY_PORTS: portRanges.prefault('1935,443,80'),
  /** Lets relays go to loopback, private and link-local addresses. */
  RELAY_ALLOW_PRIVATE: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true'),
  /** Names, addresses and networks relays may go to although they are private, comma-separated. */
  RELAY_ALLOWED_HOSTS: z
    .string()
    .default('')
    .transform((text) =>
      text
        .split(',')
        .map((host) => host.trim())
        .filter(Boolean),
    )
    .refine(
      (hosts) => hosts.every((host) => !host.includes('/') || readNetwork(host) !== undefined),
      'must be names, addresses or networks like 10.0.0.0/8, separated by commas',
    ),
  /** In the place of our own defaults: `units=500,ringingCalls=100`. The names are those of GET /v1/quotas/{domain}. */
  QUOTAS: amounts.prefault(''),
  /** Most event streams open in this process, whoever has them: each is a socket. */
  EVENT_STREAMS_MAX: z.coerce.number().int().min(1).max(1_000_000).default(10000),
  CALL_WORKERS: z.coerce.number().int().min(1).max(2000).default(200),
  /** Where recordings are kept; with S3, where they wait until the store has them. Replicas share it, or use S3. */
  RECORDINGS_DIR: z.string().min(1).default('.switchyard/recordings'),
  /** How long a complete recording is kept where nothing else was said; for ever where it is left out. */
  RECORDINGS_KEEP_DAYS: z.coerce.number().int().min(1).max(36_500).optional(),
  /** One part of a recording may be this large; S3 takes 5 GB at once. */
  RECORDINGS_MAX_MB: z.coerce.number().int().min(1).max(5000).default(4096),
  /** An S3-compatible store, with its scheme; the bucket is addressed by path. */
  S3_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  S3_BUCKET: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/)
    .optional(),
  S3_REGION: z.string().min(1).default('us-east-1'),
  S3_ACCESS_KEY_ID: z.string().min(1).optional(),
  S3_SECRET_ACCESS_KEY: z.string().min(1).optional(),
});

type Environment = z.output<typeof schema>;

const S3_TOGETHER = ['S3_ENDPOINT', 'S3_BUCKET', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'] as const;
const countS3 = (e: Environment): number => S3_TOGETHER.filter((name) => e[name] !== undefined).length;

function readS3(e: Environment): Config['recordingsS3'] {
  if (countS3(e) === 0) return undefined;
  const { S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = e;
  return {
    endpoint: S3_ENDPOINT!,
    bucket: S3_BUCKET!,
    region: e.S3_REGION,
    accessKeyId: S3_ACCESS_KEY_ID!,
    secretAccessKey: S3_SECRET_ACCESS_KEY!,
  };
}

const whole = schema
  .refine((e) => !e.NODES_PORT || e.NODES_PORT !== e.HTTP_PORT || e.NODES_HOST !== e.HTTP_HOST, {
    path: ['NODES_PORT'],
    message: 'equals HTTP_PORT: omit it if nodes use that port, or set another port',
  })
  .refine((e) => e.TURN_URLS.length === 0 || e.TURN_SECRET !== undefined, {
    path: ['TURN_SECRET'],
    message: 'is required with TURN_URLS',
  })
  .refine((e) => countS3(e) === 0 || countS3(e) === S3_TOGETHER.length, {
    path: ['S3_ENDPOINT'],
    message: `is one of four settings that go together: ${S3_TOGETHER.join(', ')}`,
  });

export interface Config {
  readonly httpHost: string;
  readonly httpPort: number;
  readonly operationsHost: string;
  readonly operationsPort: number;
  readonly nodesHost: string;
  /** Undefined: nodes ask where the API is. */
  readonly nodesPort: number | undefined;
  readonly publicUrl: string | undefined;
  readonly trustedProxies: readonly string[];
  readonly banNever: readonly string[];
  readonly mediaNetworks: readonly string[];
  readonly mediaTimeoutBrowserSeconds: number;
  readonly mediaTimeoutPhoneSeconds: number;
  readonly holdLimitMinutes: number;
  readonly databaseUrl: string;
  readonly databasePoolSize: number;
  readonly redisUrl: string;
  readonly redisPrefix: string;
  /** SWITCHYARD_SECRET, and behind it the others that are read: 32 bytes each. */
  readonly secretKey: Buffer;
  readonly nodeJoinToken: string | undefined;
  readonly nodeApproval: 'join_token' | 'never' | 'always';
  readonly nodeAllowedNetworks: readonly string[];
  readonly nodeWsHosts: readonly string[];
  readonly nodeMaxUnits: number;
  readonly bootstrapApiKey: string | undefined;
  readonly roles: readonly ('api' | 'worker' | 'supervisor')[];
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly heartbeatSeconds: number;
  readonly healthSeconds: number;
  readonly canarySeconds: number;
  readonly maxCallHours: number;
  readonly nodeCommandTimeoutMs: number;
  readonly nodeMinIdleCpuPercent: number;
  readonly placementPolicy: 'least_loaded' | 'zone_first' | 'two_choices' | 'sticky';
  readonly callQueueTimeoutMs: number;
  readonly callWorkers: number;
  /** Defaults of quotas, by name. */
  readonly quotas: Readonly<Record<string, number>>;
  readonly eventStreamsMax: number;
  readonly controlNetworks: readonly string[];
  readonly nodeNetworks: readonly string[];
  readonly turnUrls: readonly string[];
  readonly turnSecret: string | undefined;
  readonly relayHost: string;
  readonly relayPort: number;
  readonly relayListenHost: string | undefined;
  /** First and last of each range. */
  readonly relayPorts: readonly (readonly [number, number])[];
  readonly relayAllowPrivate: boolean;
  readonly relayAllowedHosts: readonly string[];
  readonly stunUrls: readonly string[];
  readonly recordingsDir: string;
  readonly recordingsKeepDays: number | null;
  readonly recordingsMaxBytes: number;
  readonly recordingsS3:
    { endpoint: string; bucket: string; region: string; accessKeyId: string; secretAccessKey: string } | undefined;
}

/** The environment variables that Switchyard reads. */
export const SETTING_NAMES: readonly string[] = Object.keys(schema.shape);

/** @throws Error naming every variable that is missing or wrong; no value is repeated, since some are secrets. */
export function readConfig(env: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const result = whole.safeParse(given);
  const faults = [
    ...(result.error?.issues ?? []).map((i) => `${i.path.join('.')}: ${describeIssue(i)}`),
    ...findMisspelt(Object.keys(given), SETTING_NAMES),
  ];
  if (!result.success || faults.length > 0)
    throw new Error(`The settings are not valid:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
  const e = result.data;
  return Object.freeze({
    httpHost: e.HTTP_HOST,
    httpPort: e.HTTP_PORT,
    operationsHost: e.OPERATIONS_HOST,
    operationsPort: e.OPERATIONS_PORT,
    nodesHost: e.NODES_HOST,
    nodesPort: e.NODES_PORT,
    publicUrl: e.PUBLIC_URL,
    trustedProxies: e.TRUSTED_PROXIES,
    banNever: e.BAN_NEVER,
    mediaNetworks: e.MEDIA_NETWORKS,
    mediaTimeoutBrowserSeconds: e.MEDIA_TIMEOUT_BROWSER_SECONDS,
    mediaTimeoutPhoneSeconds: e.MEDIA_TIMEOUT_PHONE_SECONDS,
    holdLimitMinutes: e.HOLD_LIMIT_MINUTES,
    databaseUrl: e.DATABASE_URL,
    databasePoolSize: e.DATABASE_POOL_SIZE,
    redisUrl: e.REDIS_URL,
    redisPrefix: e.REDIS_PREFIX,
    secretKey: Buffer.concat([e.SWITCHYARD_SECRET, ...e.SWITCHYARD_SECRET_OLD].map((s) => Buffer.from(s, 'base64'))),
    nodeJoinToken: e.NODE_JOIN_TOKEN,
    nodeApproval: e.NODE_APPROVAL,
    nodeAllowedNetworks: e.NODE_ALLOWED_NETWORKS,
    nodeWsHosts: e.NODE_WS_HOSTS,
    nodeMaxUnits: e.NODE_MAX_UNITS,
    bootstrapApiKey: e.BOOTSTRAP_API_KEY,
    roles: e.ROLES,
    logLevel: e.LOG_LEVEL,
    heartbeatSeconds: e.HEARTBEAT_SECONDS,
    healthSeconds: e.HEALTH_SECONDS,
    canarySeconds: e.CANARY_SECONDS,
    maxCallHours: e.MAX_CALL_HOURS,
    nodeCommandTimeoutMs: e.NODE_COMMAND_TIMEOUT_MS,
    nodeMinIdleCpuPercent: e.NODE_MIN_IDLE_CPU_PERCENT,
    placementPolicy: e.PLACEMENT_POLICY,
    callQueueTimeoutMs: e.CALL_QUEUE_TIMEOUT_MS,
    callWorkers: e.CALL_WORKERS,
    quotas: e.QUOTAS,
    eventStreamsMax: e.EVENT_STREAMS_MAX,
    controlNetworks: e.CONTROL_NETWORKS,
    nodeNetworks: e.NODE_NETWORKS,
    turnUrls: e.TURN_URLS,
    turnSecret: e.TURN_SECRET,
    relayHost: e.RELAY_HOST,
    relayPort: e.RELAY_PORT,
    relayListenHost: e.RELAY_LISTEN_HOST,
    relayPorts: Object.freeze(e.RELAY_PORTS),
    relayAllowPrivate: e.RELAY_ALLOW_PRIVATE,
    relayAllowedHosts: Object.freeze(e.RELAY_ALLOWED_HOSTS),
    stunUrls: e.STUN_URLS,
    recordingsDir: e.RECORDINGS_DIR,
    recordingsKeepDays: e.RECORDINGS_KEEP_DAYS ?? null,
    recordingsMaxBytes: e.RECORDINGS_MAX_MB * 1_000_000,
    recordingsS3: readS3(e),
  });
}
