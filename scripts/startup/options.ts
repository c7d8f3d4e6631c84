/** Reads what a person asked of `start`: every setting is an environment variable, the usual ones are flags as well. */
import { parseArgs } from 'node:util';
import { refuseMisspelt } from './misspelt';
import { StartFault } from '../project';

export const START_HELP = `Usage: ./scripts/start [options]

Starts Switchyard with everything it needs, and stays until Ctrl-C.

  --demo                 also plays a story through the public API, and prints it as it happens
  --once                 with --demo: stops when the story is told, instead of staying
  --simulated            simulated media nodes, also where a FreeSWITCH is found
  --http-port PORT       where Switchyard listens                       HTTP_PORT       (8080)
  --operations-port PORT where /metrics, /readyz and /healthz are       OPERATIONS_PORT (8090, or any free one)
  --node-port-base PORT  first port of the first node; each takes 20    NODE_PORT_BASE  (5060)
  --nodes COUNT          how many media nodes                           NODE_COUNT      (2)
  --state-dir FOLDER     where data, secrets and logs are kept          STATE_DIR       (.switchyard)
  --help                 this text

Environment:
  DATABASE_URL, REDIS_URL      use these stores instead of starting some
  POSTGRES_PORT, REDIS_PORT    ports for those that are started (any free one)
  FREESWITCH_BIN               the freeswitch to run (else the one on PATH, else simulated nodes)
  OPERATIONS_HOST              address of the operations port (127.0.0.1)
  NODES_HOST, NODES_PORT       an address of its own where nodes ask, instead of HTTP_PORT
  FREESWITCH_USER              the user it runs as if root starts it (freeswitch, else nobody or daemon)
  NODE_HOST                    address at which nodes can be reached (127.0.0.1)
  NODE_PUBLIC_HOST             its public address, if there is a NAT in between
  NODE_RTP_BASE                first port for sound and video; each node takes 1000 (16384)
  SIMULATOR_PORT               port for the simulator's own control (any free one)
  and everything Switchyard itself reads: see src/config.md.
`;

export interface StartOptions {
  help: boolean;
  demo: boolean;
  once: boolean;
  simulated: boolean;
  httpHost: string;
  httpPort: number;
  operationsHost: string;
  /** Undefined: the usual one, or any free one where that is taken. */
  operationsPort: number | undefined;
  nodesHost: string;
  /** Undefined: nodes ask where the API is. */
  nodesPort: number | undefined;
  nodePortBase: number;
  nodeCount: number;
  nodeHost: string;
  nodePublicHost: string | undefined;
  nodeRtpBase: number;
  stateDir: string;
  databaseUrl: string | undefined;
  redisUrl: string | undefined;
  postgresPort: number | undefined;
  redisPort: number | undefined;
  simulatorPort: number | undefined;
  freeswitchBin: string | undefined;
}

type Env = Record<string, string | undefined>;

/** @throws StartFault naming the setting that is wrong. */
export function readStartOptions(args: string[], env: Env): StartOptions {
  const flags = parseFlags(args);
  if (!flags.help) refuseMisspelt(Object.keys(env).filter((name) => env[name]));
  const pick = (flag: string | undefined, name: string): string | undefined => flag ?? (env[name] || undefined);
  const number = (text: string | undefined, name: string, from: number, to: number): number | undefined => {
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < from || value > to)
      throw new StartFault(`${name} must be a whole number from ${from} to ${to}.`);
    return value;
  };
  const port = (flag: string | undefined, name: string): number | undefined => number(pick(flag, name), name, 1, 65535);
  if (flags.once && !flags.demo) throw new StartFault('--once goes with --demo.');
  return {
    help: flags.help ?? false,
    demo: flags.demo ?? false,
    once: flags.once ?? false,
    simulated: flags.simulated ?? false,
    httpHost: env.HTTP_HOST || '127.0.0.1',
    httpPort: port(flags['http-port'], 'HTTP_PORT') ?? 8080,
    operationsHost: env.OPERATIONS_HOST || '127.0.0.1',
    operationsPort: port(flags['operations-port'], 'OPERATIONS_PORT'),
    nodesHost: env.NODES_HOST || '127.0.0.1',
    nodesPort: port(undefined, 'NODES_PORT'),
    nodePortBase: port(flags['node-port-base'], 'NODE_PORT_BASE') ?? 5060,
    nodeCount: number(pick(flags.nodes, 'NODE_COUNT'), 'NODE_COUNT', 1, 16) ?? 2,
    nodeHost: env.NODE_HOST || '127.0.0.1',
    nodePublicHost: env.NODE_PUBLIC_HOST || undefined,
    nodeRtpBase: port(undefined, 'NODE_RTP_BASE') ?? 16384,
    stateDir: pick(flags['state-dir'], 'STATE_DIR') ?? '.switchyard',
    databaseUrl: env.DATABASE_URL || undefined,
    redisUrl: env.REDIS_URL || undefined,
    postgresPort: port(undefined, 'POSTGRES_PORT'),
    redisPort: port(undefined, 'REDIS_PORT'),
    simulatorPort: port(undefined, 'SIMULATOR_PORT'),
    freeswitchBin: env.FREESWITCH_BIN || undefined,
  };
}

function parseFlags(args: string[]): {
  help?: boolean;
  demo?: boolean;
  once?: boolean;
  simulated?: boolean;
  'http-port'?: string;
  'operations-port'?: string;
  'node-port-base'?: string;
  nodes?: string;
  'state-dir'?: string;
} {
  try {
    return parseArgs({
      args,
      allowPositionals: false,
      options: {
        help: { type: 'boolean', short: 'h' },
        demo: { type: 'boolean' },
        once: { type: 'boolean' },
        simulated: { type: 'boolean' },
        'http-port': { type: 'string' },
        'operations-port': { type: 'string' },
        'node-port-base': { type: 'string' },
        nodes: { type: 'string' },
        'state-dir': { type: 'string' },
      },
    }).values;
  } catch (fault) {
    throw new StartFault(`${(fault as Error).message}\n\n${START_HELP}`);
  }
}
