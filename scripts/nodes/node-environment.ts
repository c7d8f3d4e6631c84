/** What of our own environment a media node is given: a written list, since ours may hold keys that are none of its business. */

type Env = Record<string, string | undefined>;

/** Of the system: where programs and certificates are, how text and time are read. No proxies: nodes ask directly. */
const OF_THE_SYSTEM = [
  'PATH',
  'LD_LIBRARY_PATH',
  'LANG',
  'LC_ALL',
  'TZ',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'CURL_CA_BUNDLE',
] as const;

/** What freeswitch/freeswitch.xml reads, except the node's name, address and password, which are given one by one. */
const OF_FREESWITCH = [
  'SWITCHYARD_HEARTBEAT_SECONDS',
  'SWITCHYARD_MAX_SESSIONS',
  'SWITCHYARD_SESSIONS_PER_SECOND',
  'SWITCHYARD_LOG_LEVEL',
  'SWITCHYARD_CA_FILE',
] as const;

const OF_THE_SIMULATOR = [
  'SWITCHYARD_HEARTBEAT_SECONDS',
  'LOG_LEVEL',
  'NODE_EXTRA_CA_CERTS',
  'HOME',
  'TMPDIR',
] as const;

const pick = (env: Env, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));

/** For a FreeSWITCH. */
export const nodeEnvironment = (env: Env): Record<string, string> => pick(env, [...OF_THE_SYSTEM, ...OF_FREESWITCH]);

/** For the process of simulated nodes. */
export const simulatorEnvironment = (env: Env): Record<string, string> =>
  pick(env, [...OF_THE_SYSTEM, ...OF_THE_SIMULATOR]);
