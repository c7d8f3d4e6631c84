/** Nodes as processes of this machine: they outlive the command, and are found again by number and start time. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeNodeSecret } from '../nodes/enrol';
import { placeNode, prepareRealNode } from '../nodes/launch-node';
import { findFreeswitch, xmlUrlOf } from '../nodes/media-nodes';
import { simulatorEnvironment } from '../nodes/node-environment';
import { nodeUser, type User } from '../nodes/ordinary-user';
import { findFreePort } from '../stores/ports';
import { projectRoot, StartFault } from '../project';
import { startTimeOf } from '../startup/run-state';
import type { KeptNode } from './kept';
import { planOf } from './node-ports';
import type { Provider, ProviderContext } from './providers';

/** FreeSWITCH says goodbye to its phones; after this it is ended by force. */
const STOP_TIMEOUT_MS = 10_000;

interface Program {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  user?: User;
  logFile: string;
}

/**
 * What is to be run where nobody said: a real node where there is a FreeSWITCH.
 * @param nodes the pool's: a simulated one, which reports no version, is not put beside real ones unasked, since calls
 *   that are placed on it reach nobody
 */
export function chooseKind(
  context: { options: Pick<ProviderContext['options'], 'kind'>; env: NodeJS.ProcessEnv },
  nodes: readonly { version: string | null }[],
): KeptNode['kind'] {
  const simulated = context.options.kind === 'simulated';
  const found = findFreeswitch({ simulated, freeswitchBin: context.env.FREESWITCH_BIN || undefined });
  if (!found && context.options.kind === 'real')
    throw new StartFault('No FreeSWITCH was found for a real node: set FREESWITCH_BIN.');
  if (!found && !simulated && nodes.some(({ version }) => version !== null))
    throw new StartFault(
      'The pool has real nodes, and no FreeSWITCH was found here: set FREESWITCH_BIN, or say --kind simulated.',
    );
  return found ? 'real' : 'simulated';
}

export const processProvider: Provider = {
  needsPorts: true,
  async start(node, context) {
    const dir = join(context.kept.dir, node.name);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const { program, controlUrl } = await describeProgram(node, context, dir);
    const log = openSync(program.logFile, 'a', 0o600);
    const child = spawn(program.command, program.args, {
      cwd: program.cwd,
      env: program.env,
      detached: true,
      stdio: ['ignore', log, log],
      ...(program.user ?? {}),
    });
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(new StartFault(`${node.name} could not be started: ${error.message}`)));
    });
    child.unref();
    const pid = child.pid!;
    return { ...node, pid, startTime: startTimeOf(pid), logFile: program.logFile, controlUrl };
  },
  async stop(node, context) {
    await endProcess(node);
    const dir = join(context.kept.dir, node.name);
    for (const each of new Set([dir, placeNode(dir, nodeUser(context.env))]))
      rmSync(each, { recursive: true, force: true });
  },
  isRunning: (node) => isAlive(node),
  lastLines(node) {
    try {
      return readFileSync(node.logFile ?? '', 'utf8')
        .trimEnd()
        .split('\n')
        .slice(-12)
        .join('\n');
    } catch {
      return '';
    }
  },
};

async function describeProgram(
  node: KeptNode,
  context: ProviderContext,
  dir: string,
): Promise<{ program: Program; controlUrl?: string }> {
  const plan = planOf(node, context.env.NODE_HOST || '127.0.0.1', context.env.NODE_PUBLIC_HOST || undefined);
  const url = new URL(xmlUrlOf(plan, context.nodesUrl));
  url.searchParams.set('zone', node.zone);
  url.searchParams.set('capacity', String(node.capacity));
  const xmlUrl = url.toString();
  const password = makeNodeSecret();
  await context.enrol({ name: node.name, xmlUrl, secret: password });
  if (node.kind === 'real') {
    const env = { SWITCHYARD_RTP_FROM: String(plan.rtpFrom), SWITCHYARD_RTP_TO: String(plan.rtpTo) };
    const binary = findFreeswitch({ simulated: false, freeswitchBin: context.env.FREESWITCH_BIN || undefined })!;
    const prepared = await prepareRealNode({ binary, dir, name: node.name, xmlUrl, password, env });
    return { program: { ...prepared, cwd: prepared.dir, logFile: prepared.outputFile } };
  }
  const control = await findFreePort();
  const main = join(__dirname, '..', 'simulator', `main${extname(__filename)}`);
  const nodes = [{ name: node.name, eslPort: plan.eslPort, xmlUrl, password }];
  const env = {
    ...simulatorEnvironment(context.env),
    SIMULATOR_CONTROL_PORT: String(control),
    SIMULATOR_NODES: JSON.stringify(nodes),
  };
  const args = [...process.execArgv, main];
  return {
    program: { command: process.execPath, args, env, cwd: projectRoot(), logFile: join(dir, 'simulator.log') },
    controlUrl: `http://127.0.0.1:${control}`,
  };
}

/** The number alone proves nothing: after a crash it may be another program's. */
function isAlive(node: KeptNode): boolean {
  return node.pid !== undefined && startTimeOf(node.pid) === node.startTime;
}

async function endProcess(node: KeptNode): Promise<void> {
  if (!isAlive(node)) return;
  signal(node, 'SIGCONT'); // one that was frozen could not hear us
  signal(node, 'SIGTERM');
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (isAlive(node) && Date.now() < deadline) await sleep(50);
  if (isAlive(node)) signal(node, 'SIGKILL');
  while (isAlive(node) && Date.now() < deadline + 2000) await sleep(20);
}

function signal(node: KeptNode, name: NodeJS.Signals): void {
  try {
    if (isAlive(node)) process.kill(node.pid!, name);
  } catch {
    // it ended in the meantime
  }
}
