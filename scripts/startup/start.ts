/** `./scripts/start`: brings up stores, Switchyard and media nodes in order, says where they are, stops them in reverse. */
import { resolve, join, extname } from 'node:path';
import type { Child } from '../child';
import { startChild } from '../child';
import { createApiClient, waitFor, type ApiClient } from '../api/client';
import { playDemo } from '../demo/demo';
import { endRecordings } from './end-recordings';
import { findFreeswitch, planNodes, portsOf, type NodePlan } from '../nodes/media-nodes';
import { startMediaNodes } from '../nodes/launch-pool';
import { isPortFree } from '../stores/ports';
import { projectRoot, StartFault } from '../project';
import { holdStateDir, keepSecrets, removeRunFile, writeRunFile, type KeptSecrets } from './run-state';
import { addressesOf, chooseOperationsPort, type Addresses } from './addresses';
import { readStartOptions, START_HELP, type StartOptions } from './options';
import { startStores, type Stores } from '../stores/stores';

const READY_TIMEOUT_MS = 30_000;
const SERVING_TIMEOUT_MS = 60_000;
/** For files that are recorded to come home. A second Ctrl-C does not wait for it. */
const RECORDINGS_TIMEOUT_MS = 20_000;

const say = (line = ''): void => {
  process.stdout.write(`${line}\n`);
};

async function main(): Promise<number> {
  let options: StartOptions;
  let release: () => void;
  try {
    options = readStartOptions(process.argv.slice(2), process.env);
    if (options.help) {
      say(START_HELP);
      return 0;
    }
    options.stateDir = resolve(projectRoot(), options.stateDir);
    release = holdStateDir(options.stateDir);
  } catch (fault) {
    if (!(fault instanceof StartFault)) throw fault;
    process.stderr.write(`${fault.message}\n`);
    return 1;
  }
  const started: Child[] = [];
  /** What has to be over before anything is stopped. */
  const endings: Endings = { endRecordings: undefined };
  const interrupted = new AbortController();
  const hurry = new AbortController();
  const interrupt = (): void => (interrupted.signal.aborted ? hurry : interrupted).abort();
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  process.on('SIGHUP', interrupt);
  try {
    // What is still being started when Ctrl-C comes hangs on our pipes, and ends with us.
    return await Promise.race([
      run(options, started, endings, interrupted.signal),
      untilAborted(interrupted.signal).then(() => 0),
    ]);
  } catch (fault) {
    if (interrupted.signal.aborted) return 0;
    const plain = fault instanceof StartFault || (fault as Error).name === 'ApiFault';
    process.stderr.write(`\n${plain ? (fault as Error).message : ((fault as Error).stack ?? String(fault))}\n`);
    return 1;
  } finally {
    removeRunFile(options.stateDir);
    if (started.length) say('\nStopping…');
    await endings.endRecordings?.(hurry.signal);
    for (const child of started.reverse()) {
      const wasRunning = child.isRunning();
      await child.stop();
      say(`  ${child.name} ${wasRunning ? 'stopped' : 'had ended'}`);
    }
    release();
  }
}

interface Endings {
  endRecordings: ((hurry: AbortSignal) => Promise<void>) | undefined;
}

async function run(
  options: StartOptions,
  started: Child[],
  endings: Endings,
  interrupted: AbortSignal,
): Promise<number> {
  const freeswitch = findFreeswitch(options);
  const plans = planNodes(options, freeswitch ? 'real' : 'simulated');
  await refuseTakenPorts(options, plans);
  const secrets = keepSecrets(
    options.stateDir,
    plans.map((plan) => plan.name),
  );
  const note = (line: string): void => {
    if (interrupted.aborted) throw new StartFault('Interrupted.');
    say(`  ${line}`);
  };

  say('Starting Switchyard');
  const stores = await startStores({ ...options, password: secrets.storePassword, report: note });
  started.push(...stores.children);
  note(`Postgres    ${options.databaseUrl ? 'yours (DATABASE_URL)' : `started; data in ${stores.dataDir}`}`);
  note(`Redis       ${options.redisUrl ? 'yours (REDIS_URL)' : 'started, private to this run'}`);

  const operationsPort = await chooseOperationsPort(options);
  const at = addressesOf(options, operationsPort);
  const { url } = at;
  const switchyard = startSwitchyard(options, secrets, stores, url, operationsPort);
  started.push(switchyard);
  await untilReady(at.operationsUrl, switchyard);
  note(`Switchyard  ready at ${url}`);

  const api = createApiClient(url, secrets.apiKey);
  const nodes = await startMediaNodes({ options, plans, freeswitch, secrets, nodesUrl: at.nodesUrl, api, say });
  started.push(...nodes.children);
  const nodeNames = plans.map(({ name }) => name);
  endings.endRecordings = async (hurry) => {
    if (switchyard.isRunning()) await endRecordings({ api, nodeNames, timeoutMs: RECORDINGS_TIMEOUT_MS, hurry, say });
  };
  await untilServing(api, plans, [switchyard, ...nodes.children], nodes.markServed);
  note(
    freeswitch
      ? `Media       ${plans.length} real nodes (${freeswitch})`
      : `Media       ${plans.length} simulated nodes, since ${options.simulated ? 'that was asked for' : 'no FreeSWITCH was found (set FREESWITCH_BIN)'}`,
  );

  writeRunFile(options.stateDir, {
    ...at,
    apiKey: secrets.apiKey,
    databaseUrl: stores.databaseUrl,
    redisUrl: stores.redisUrl,
    nodes: plans.map(({ name, kind, eslPort, sipPort, wsUrl }) => ({ name, kind, eslPort, sipPort, wsUrl })),
    pid: process.pid,
    simulatorUrl: nodes.simulatorUrl,
  });
  printSummary(at, secrets.apiKey, plans, options.stateDir);

  const broken = firstToEnd(started);
  if (options.demo) {
    const demo = playDemo({ api, nodes: plans, simulatorUrl: nodes.simulatorUrl, say, interrupted });
    await Promise.race([demo, broken, untilAborted(interrupted)]);
    if (options.once || interrupted.aborted) return 0;
  }
  say('\nCtrl-C stops everything.');
  await Promise.race([broken, untilAborted(interrupted)]);
  return 0;
}

async function refuseTakenPorts(options: StartOptions, plans: NodePlan[]): Promise<void> {
  const taken: string[] = [];
  for (const { port, use, setting } of portsOf(options, plans)) {
    if (port > 65535) throw new StartFault(`No port ${port} for ${use}: lower ${setting}.`);
    if (!(await isPortFree(port))) taken.push(`  port ${port} (${use}): choose another with ${setting}`);
  }
  if (taken.length) throw new StartFault(`These ports are already in use:\n${taken.join('\n')}`);
}

function startSwitchyard(
  options: StartOptions,
  secrets: KeptSecrets,
  stores: Stores,
  url: string,
  operationsPort: number,
): Child {
  const main = join(__dirname, '..', '..', 'src', `main${extname(__filename)}`);
  return startChild({
    name: 'Switchyard',
    command: process.execPath,
    args: [...process.execArgv, main],
    env: {
      ...process.env,
      HTTP_HOST: options.httpHost,
      HTTP_PORT: String(options.httpPort),
      OPERATIONS_HOST: options.operationsHost,
      OPERATIONS_PORT: String(operationsPort),
      PUBLIC_URL: process.env.PUBLIC_URL || url,
      DATABASE_URL: stores.databaseUrl,
      REDIS_URL: stores.redisUrl,
      SWITCHYARD_SECRET: process.env.SWITCHYARD_SECRET || secrets.switchyardSecret,
      // Its own nodes, and those of scripts/pool, are on this machine.
      NODE_ALLOWED_NETWORKS: [process.env.NODE_ALLOWED_NETWORKS, '127.0.0.0/8', '::1/128'].filter(Boolean).join(','),
      BOOTSTRAP_API_KEY: secrets.apiKey,
    },
    logFile: join(options.stateDir, 'logs', 'switchyard.log'),
  });
}

async function untilReady(operationsUrl: string, switchyard: Child): Promise<void> {
  const ask = async (): Promise<boolean> => {
    failIfEnded([switchyard]);
    return (await fetch(`${operationsUrl}/readyz/replica`, { signal: AbortSignal.timeout(2000) })).ok;
  };
  await waitForOrShow(switchyard, 'Switchyard to be ready', ask, (ready) => ready, READY_TIMEOUT_MS);
}

interface NodeSeen {
  name: string;
  state: string;
  reportedAt: string | null;
}

async function untilServing(
  api: ApiClient,
  plans: NodePlan[],
  children: Child[],
  markServed: (name: string) => void,
): Promise<void> {
  let before: Map<string, string | null> | undefined;
  const ask = async (): Promise<string[]> => {
    const ended = children.find((child) => !child.isRunning());
    if (ended && plans.some((plan) => plan.name === ended.name))
      throw new StartFault(`${endedText(ended)}\nIt never served, so its setup is wrong.`);
    failIfEnded(children);
    const { items } = await api.get<{ items: NodeSeen[] }>('/v1/nodes');
    // A node of an earlier run may be shown as it was: only one that has reported since serves.
    before ??= new Map(items.map((node) => [node.name, node.reportedAt]));
    const serving = items.filter((node) => node.state === 'serving' && node.reportedAt !== before?.get(node.name));
    for (const node of serving) markServed(node.name);
    return serving.map((node) => node.name);
  };
  const serving = (names: string[]): boolean => plans.every((plan) => names.includes(plan.name));
  await waitForOrShow(children.at(-1)!, 'the media nodes to serve', ask, serving, SERVING_TIMEOUT_MS);
}

async function waitForOrShow<T>(
  child: Child,
  what: string,
  ask: () => Promise<T>,
  test: (value: T) => boolean,
  timeoutMs: number,
): Promise<void> {
  try {
    await waitFor(what, ask, test, timeoutMs);
  } catch (fault) {
    if (fault instanceof StartFault) throw fault;
    throw new StartFault(`${(fault as Error).message}\nThe last lines of ${child.logFile}:\n${child.lastLines()}`);
  }
}

function failIfEnded(children: Child[]): void {
  const ended = children.find((child) => !child.isRunning());
  if (ended) throw new StartFault(endedText(ended));
}

const endedText = (child: Child): string =>
  `${child.name} ended by itself. The last lines of ${child.logFile}:\n${child.lastLines()}`;

/** Rejects when one of them ends. */
function firstToEnd(children: Child[]): Promise<never> {
  const ends = children.map((child) =>
    child.ended.then((): never => {
      throw new StartFault(endedText(child));
    }),
  );
  const first = Promise.race(ends);
  first.catch(() => undefined); // it is awaited later, or not at all
  ends.forEach((end) => end.catch(() => undefined));
  return first;
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    // A signal alone keeps no process alive.
    const alive = setInterval(() => undefined, 60_000);
    signal.addEventListener('abort', () => (clearInterval(alive), resolve()), { once: true });
  });
}

function printSummary({ url, operationsUrl }: Addresses, apiKey: string, plans: NodePlan[], stateDir: string): void {
  say(`
Switchyard is running.

  API         ${url}/v1
  Docs        ${url}/docs
  Operations  ${operationsUrl}/metrics, /readyz, /healthz
  API key     ${apiKey}
  Written to  ${join(stateDir, 'run.json')}; logs in ${join(stateDir, 'logs')}
`);
  for (const plan of plans) {
    const where = plan.kind === 'real' ? `  SIP ${plan.host}:${plan.sipPort}  WebSocket ${plan.wsUrl}` : '';
    say(`  ${plan.name}      ${plan.kind}${where}  Event Socket ${plan.host}:${plan.eslPort}`);
  }
  say(`
Try it:

  curl -s ${url}/v1/nodes -H "Authorization: Bearer ${apiKey}"`);
}

void main().then((code) => process.exit(code));
