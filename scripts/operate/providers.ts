/** Where nodes come from: what a provider has to do, and which there are. */
import type { NodeToEnrol } from '../nodes/enrol';
import type { Kept, KeptNode } from './kept';
import type { PoolOptions } from './options';
import { composeProvider } from './provide-compose';
import { hookProvider } from './provide-hook';
import { processProvider } from './provide-process';

export interface ProviderContext {
  kept: Kept;
  options: PoolOptions;
  switchyardUrl: string;
  /** Where nodes ask. */
  nodesUrl: string;
  /** Lets the node in before it starts, with a token that is used up by it. */
  enrol: (node: NodeToEnrol) => Promise<void>;
  env: NodeJS.ProcessEnv;
}

export interface Provider {
  /**
   * Starts the node. It outlives us; when it serves, the pool says.
   * @returns what has to be remembered @throws StartFault where it can't be started
   */
  start(node: KeptNode, context: ProviderContext): Promise<KeptNode>;
  /** Ends it, and whatever it left; one that has ended already is no fault. */
  stop(node: KeptNode, context: ProviderContext): Promise<void>;
  /** False where it is known to have ended. */
  isRunning(node: KeptNode): boolean;
  /** The last that it wrote, to be shown when it did not come up. */
  lastLines(node: KeptNode): string;
  /** It needs twenty ports and a thousand for media of this machine. */
  readonly needsPorts: boolean;
}

const PROVIDERS: Record<KeptNode['provider'], Provider> = {
  process: processProvider,
  compose: composeProvider,
  hook: hookProvider,
};

export const providerOf = (node: Pick<KeptNode, 'provider'>): Provider => PROVIDERS[node.provider];
