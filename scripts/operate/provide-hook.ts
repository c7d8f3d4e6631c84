/** Nodes from anywhere: a command of the operator's makes them and takes them away, whatever its cloud is. */
import { spawn } from 'node:child_process';
import { makeNodeSecret } from '../nodes/enrol';
import { StartFault } from '../project';
import type { KeptNode } from './kept';
import type { Provider, ProviderContext } from './providers';

const HOOK_TIMEOUT_MS = 600_000;

/** Called as `HOOK add NAME` and `HOOK remove NAME`; it may return before the node serves. */
export const hookProvider: Provider = {
  needsPorts: false,
  async start(node, context) {
    const password = makeNodeSecret();
    await context.enrol({ name: node.name, xmlUrl: `${context.nodesUrl}/freeswitch/xml`, secret: password });
    await runHook('add', node, context, { SWITCHYARD_NODE_PASSWORD: password });
    return node;
  },
  stop: (node, context) => runHook('remove', node, context, {}),
  isRunning: () => true,
  lastLines: () => 'Look at what SWITCHYARD_POOL_HOOK printed.',
};

async function runHook(
  what: 'add' | 'remove',
  node: KeptNode,
  context: ProviderContext,
  more: Record<string, string>,
): Promise<void> {
  const hook = context.env.SWITCHYARD_POOL_HOOK;
  if (!hook) throw new StartFault('SWITCHYARD_POOL_HOOK is not set to a command that makes nodes.');
  const env = {
    ...context.env,
    SWITCHYARD_URL: context.switchyardUrl,
    SWITCHYARD_XML_BASE_URL: `${context.nodesUrl}/freeswitch/xml`,
    SWITCHYARD_NODE_NAME: node.name,
    SWITCHYARD_NODE_ZONE: node.zone,
    SWITCHYARD_NODE_CAPACITY: String(node.capacity),
    ...more,
  };
  const child = spawn('/bin/sh', ['-c', `${hook} "$@"`, 'hook', what, node.name], {
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: HOOK_TIMEOUT_MS,
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new StartFault(`The hook ended with ${code ?? 'a signal'}: ${hook} ${what} ${node.name}`);
}
