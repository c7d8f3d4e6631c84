/** Reads what a person asked of `scripts/pool`, and says what can be asked. */
import { parseArgs } from 'node:util';
import { refuseMisspelt } from '../startup/misspelt';
import { StartFault } from '../project';

export const POOL_HELP = `Usage: ./scripts/pool COMMAND [options]

  status [--json] [--watch]     lists nodes and their load, and whether the pool should grow or shrink
  add [COUNT]                   starts nodes and waits until they serve        [--name NAME] [--zone Z] [--capacity N]
  drain NODE                    no new calls, phones move elsewhere; running calls continue
                                                                               [--deadline SECONDS] [--wait] [--keep-phones]
  resume NODE                   ends a drain: the node gets calls again
  approve NODE                  admits a pending node
  remove NODE                   removes an empty, drained or dead node, and stops it if it was started here
                                                                               [--force: even with phones registered at it]
  explain CALL                  why a call was placed on its node
  simulate                      what would happen, on a copy of the pool       [--remove NODE]… [--add N] [--calls N] [--rooms N]
  scale COUNT                   adds nodes, or drains the emptiest, waits until they are empty, removes them
                                                                               [--deadline SECONDS] [--timeout SECONDS]
  autoscale                     scales by load, until Ctrl-C                   [--target 60] [--min 1] [--max 10]
                                                                               [--cooldown 120] [--interval 10] [--once]
Where nodes come from:
  --provider process            processes on this machine (the default): real ones if FREESWITCH_BIN or PATH has a
                                freeswitch, otherwise simulated                [--kind real|simulated] [--port-base 7060]
  --provider compose            services beside docker-compose.yml's own       SWITCHYARD_POOL_COMPOSE (docker compose)
  --provider hook               your command, called with "add NAME" or "remove NAME"; see scripts/operate/README.md
                                                                               SWITCHYARD_POOL_HOOK
Which Switchyard:
  SWITCHYARD_URL and SWITCHYARD_API_KEY, else .switchyard/run.json of a running ./scripts/start
  SWITCHYARD_NODES_URL if nodes use another address (NODES_PORT of Switchyard)
                                                                               [--state-dir FOLDER] STATE_DIR
`;

export const COMMANDS = [
  'status',
  'add',
  'drain',
  'resume',
  'approve',
  'remove',
  'explain',
  'simulate',
  'scale',
  'autoscale',
] as const;
export type Command = (typeof COMMANDS)[number];

export interface PoolOptions {
  command: Command;
  /** What the command is about: a node, a call, a count. */
  subject: string | undefined;
  json: boolean;
  watch: boolean;
  wait: boolean;
  keepPhones: boolean;
  force: boolean;
  once: boolean;
  name: string | undefined;
  zone: string;
  capacity: number;
  deadlineSeconds: number;
  timeoutSeconds: number | undefined;
  remove: string[];
  add: number;
  calls: number;
  rooms: number;
  targetPercent: number;
  minNodes: number;
  maxNodes: number;
  cooldownSeconds: number;
  intervalSeconds: number;
  provider: 'process' | 'compose' | 'hook';
  kind: 'real' | 'simulated' | undefined;
  portBase: number;
  stateDir: string;
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

/** @returns undefined where help was asked for. @throws StartFault naming what is wrong */
export function readPoolOptions(args: string[], env: Record<string, string | undefined>): PoolOptions | undefined {
  const { values, positionals } = parse(args);
  const [command, subject, ...more] = positionals;
  if (values.help || command === undefined || command === 'help') return undefined;
  // With another address than was meant it would change another pool.
  refuseMisspelt(Object.keys(env).filter((name) => name.startsWith('SWITCHYARD_') && env[name]));
  if (!COMMANDS.includes(command as Command)) throw new StartFault(`No such command: "${command}".\n\n${POOL_HELP}`);
  if (more.length) throw new StartFault(`"${more.join(' ')}" is unexpected: name one node, call or count.`);
  const number = (name: string, given: string | undefined, fallback: number, from: number, to: number): number => {
    const value = given === undefined || given === '' ? fallback : Number(given);
    if (!Number.isFinite(value) || value < from || value > to)
      throw new StartFault(`${name} must be a number from ${from} to ${to}.`);
    return value;
  };
  const oneOf = <T extends string>(name: string, given: string | undefined, allowed: readonly T[]): T | undefined => {
    if (given === undefined) return undefined;
    if (!allowed.includes(given as T)) throw new StartFault(`${name} must be one of ${allowed.join(', ')}.`);
    return given as T;
  };
  const minNodes = number('--min', values.min, 1, 0, 10_000);
  const maxNodes = number('--max', values.max, 10, 1, 10_000);
  if (maxNodes < minNodes) throw new StartFault('--max is below --min.');
  return {
    command: command as Command,
    subject,
    json: values.json ?? false,
    watch: values.watch ?? false,
    wait: values.wait ?? false,
    keepPhones: values['keep-phones'] ?? false,
    force: values.force ?? false,
    once: values.once ?? false,
    name: values.name,
    zone: values.zone ?? '',
    capacity: number('--capacity', values.capacity, 100, 1, 1_000_000),
    deadlineSeconds: number('--deadline', values.deadline, 3600, 0, 86_400),
    timeoutSeconds: values.timeout === undefined ? undefined : number('--timeout', values.timeout, 0, 0, 864_000),
    remove: values.remove ?? [],
    add: number('--add', values.add, 0, 0, 1000),
    calls: number('--calls', values.calls, 0, 0, 1_000_000),
    rooms: number('--rooms', values.rooms, 0, 0, 100_000),
    targetPercent: number('--target', values.target, 60, 10, 90),
    minNodes,
    maxNodes,
    cooldownSeconds: number('--cooldown', values.cooldown, 120, 0, 86_400),
    intervalSeconds: number('--interval', values.interval, 10, 0.2, 3600),
    provider: oneOf('--provider', values.provider, ['process', 'compose', 'hook']) ?? 'process',
    kind: oneOf('--kind', values.kind, ['real', 'simulated']),
    portBase: number('--port-base', values['port-base'] ?? env.POOL_PORT_BASE, 7060, 1024, 65_000),
    stateDir: values['state-dir'] ?? (env.STATE_DIR || '.switchyard'),
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        json: flag,
        watch: flag,
        wait: flag,
        'keep-phones': flag,
        force: flag,
        once: flag,
        name: text,
        zone: text,
        capacity: text,
        deadline: text,
        timeout: text,
        remove: { type: 'string', multiple: true },
        add: text,
        calls: text,
        rooms: text,
        target: text,
        min: text,
        max: text,
        cooldown: text,
        interval: text,
        provider: text,
        kind: text,
        'port-base': text,
        'state-dir': text,
      },
    });
  } catch (fault) {
    throw new StartFault(`${(fault as Error).message}\n\n${POOL_HELP}`);
  }
}
