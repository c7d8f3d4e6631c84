/** Nodes as services beside docker-compose.yml's own: an override file is written, and docker compose does the rest. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeNodeSecret } from '../nodes/enrol';
import { projectRoot, StartFault } from '../project';
import { writePrivately } from '../startup/run-state';
import type { Kept, KeptNode } from './kept';
import { planOf } from './node-ports';
import type { Provider, ProviderContext } from './providers';

const COMPOSE_TIMEOUT_MS = 600_000;

export const composeProvider: Provider = {
  needsPorts: true,
  async start(node, context) {
    const secret = makeNodeSecret();
    await context.enrol({ name: node.name, xmlUrl: `${context.nodesUrl}/freeswitch/xml`, secret });
    const made: KeptNode = { ...node, secret };
    await runCompose(context, [...others(context.kept, node.name), made], ['up', '-d', '--no-deps', node.name]);
    return made;
  },
  async stop(node, context) {
    await runCompose(context, context.kept.list(), ['rm', '--stop', '--force', '-v', node.name]);
    await writeOverride(context.kept, others(context.kept, node.name));
  },
  isRunning: () => true,
  lastLines: (node) => `Look at: docker compose logs ${node.name}`,
};

const others = (kept: Kept, name: string): KeptNode[] => kept.list().filter((node) => node.name !== name);

/** The node block of docker-compose.yml, under the name it is anchored by. @throws StartFault where it is gone */
async function readNodeBlock(): Promise<Record<string, unknown>> {
  const { parse } = await import('yaml');
  const file = join(projectRoot(), 'docker-compose.yml');
  const block = (parse(readFileSync(file, 'utf8'), { merge: true }) as Record<string, unknown>)['x-node'];
  if (!block || typeof block !== 'object') throw new StartFault('docker-compose.yml has no "x-node".');
  return block as Record<string, unknown>;
}

/** JSON, which is YAML as well. Variables stay as they are: compose fills them in from .env. */
export function composeServices(block: Record<string, unknown>, nodes: readonly KeptNode[]): object {
  const services = nodes.map((node) => {
    const plan = planOf(node, '${NODE_HOST:-127.0.0.1}');
    const query = [
      `host=${plan.host}`,
      `esl=${plan.eslPort}&sip=${plan.sipPort}&internode=${plan.internodePort}&ws=${plan.wsPort}`,
      `rtp=${plan.rtpFrom}-${plan.rtpTo}&zone=${node.zone}&capacity=${node.capacity}`,
      'public=${NODE_PUBLIC_HOST:-}',
    ].join('&');
    const environment = {
      SWITCHYARD_XML_URL: 'http://127.0.0.1:${NODES_PORT:-8088}/freeswitch/xml?' + query,
      SWITCHYARD_NODE_NAME: node.name,
      SWITCHYARD_NODE_PASSWORD: node.secret ?? '',
      SWITCHYARD_RTP_FROM: String(plan.rtpFrom),
      SWITCHYARD_RTP_TO: String(plan.rtpTo),
    };
    return [node.name, { ...block, environment }] as const;
  });
  return { services: Object.fromEntries(services) };
}

/** @returns the file, next to what else is kept; only its owner can read the nodes' secrets in it */
async function writeOverride(kept: Kept, nodes: readonly KeptNode[]): Promise<string> {
  const file = join(kept.dir, 'compose.nodes.yml');
  const composed = nodes.filter((node) => node.provider === 'compose');
  writePrivately(file, composeServices(await readNodeBlock(), composed));
  return file;
}

async function runCompose(context: ProviderContext, nodes: readonly KeptNode[], args: string[]): Promise<void> {
  const override = await writeOverride(context.kept, nodes);
  const [command = 'docker', ...first] = (context.env.SWITCHYARD_POOL_COMPOSE || 'docker compose').split(' ');
  const root = projectRoot();
  const files = ['-f', join(root, 'docker-compose.yml'), '-f', override, '--project-directory', root];
  const child = spawn(command, [...first, ...files, ...args], {
    cwd: root,
    env: context.env,
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: COMPOSE_TIMEOUT_MS,
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(new StartFault(`${command} could not be run: ${error.message}`)));
    child.once('close', resolve);
  });
  if (code !== 0) throw new StartFault(`${command} ${[...first, ...args].join(' ')} ended with ${code ?? 'a signal'}.`);
}
