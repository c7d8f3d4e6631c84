/** Starts the planned media nodes, real or simulated, as children that end with us. */
import { extname, join } from 'node:path';
import type { ApiClient } from '../api/client';
import { startChild, type Child } from '../child';
import { enrolAsAdmin } from './enrol';
import { keepNode, type KeptNode } from './keep-node';
import { launchRealNode, type RealNode } from './launch-node';
import { xmlUrlOf, type NodePlan } from './media-nodes';
import { simulatorEnvironment } from './node-environment';
import { findFreePort } from '../stores/ports';
import type { KeptSecrets } from '../startup/run-state';
import type { StartOptions } from '../startup/options';

export interface RunningPool {
  children: Child[];
  /** From then on that node is brought back whenever it ends. */
  markServed(name: string): void;
  simulatorUrl?: string;
}

export interface PoolOptions {
  options: StartOptions;
  plans: NodePlan[];
  freeswitch: string | undefined;
  secrets: KeptSecrets;
  /** Where nodes ask. */
  nodesUrl: string;
  /** With an admin's key: each node is enrolled before it starts. */
  api: ApiClient;
  /** Told when a node ended by itself and is started again. */
  say: (line: string) => void;
}

export async function startMediaNodes(o: PoolOptions): Promise<RunningPool> {
  for (const plan of o.plans) {
    const { name } = plan;
    await enrolAsAdmin(o.api, { name, xmlUrl: xmlUrlOf(plan, o.nodesUrl), secret: passwordOf(o, plan) });
  }
  return o.freeswitch ? startRealNodes(o, o.freeswitch) : startSimulatedNodes(o);
}

/** What a node shows: a secret of its own, kept from start to start. */
const passwordOf = (o: PoolOptions, plan: NodePlan): string => o.secrets.nodeSecrets[plan.name]!;

async function startRealNodes(o: PoolOptions, binary: string): Promise<RunningPool> {
  const children = await Promise.all(
    o.plans.map((plan): Promise<KeptNode> => {
      const launch = (): Promise<RealNode> =>
        launchRealNode({
          binary,
          dir: join(o.options.stateDir, 'nodes', plan.name),
          name: plan.name,
          xmlUrl: xmlUrlOf(plan, o.nodesUrl),
          password: passwordOf(o, plan),
          env: { SWITCHYARD_RTP_FROM: String(plan.rtpFrom), SWITCHYARD_RTP_TO: String(plan.rtpTo) },
        });
      return keepNode({ name: plan.name, launch, say: o.say });
    }),
  );
  return { children, markServed: (name) => children.find((child) => child.name === name)?.markServed() };
}

async function startSimulatedNodes(o: PoolOptions): Promise<RunningPool> {
  const control = o.options.simulatorPort ?? (await findFreePort());
  const nodes = o.plans.map((plan) => ({
    name: plan.name,
    eslPort: plan.eslPort,
    xmlUrl: xmlUrlOf(plan, o.nodesUrl),
    password: passwordOf(o, plan),
  }));
  const child = startChild({
    name: 'Simulated nodes',
    command: process.execPath,
    args: [...process.execArgv, join(__dirname, '..', 'simulator', `main${extname(__filename)}`)],
    env: {
      ...simulatorEnvironment(process.env),
      SIMULATOR_CONTROL_PORT: String(control),
      SIMULATOR_NODES: JSON.stringify(nodes),
    },
    logFile: join(o.options.stateDir, 'logs', 'simulator.log'),
  });
  return { children: [child], markServed: () => undefined, simulatorUrl: `http://127.0.0.1:${control}` };
}
