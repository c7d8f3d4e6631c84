/** Asks a node which modules it has: when it is connected to, now and then, and before it is said that it can't. */
import { moduleExists, type ApiCommand, type Reply } from '../../../freeswitch/esl';
import type { Logger } from '../../../infra/logger';
import { runEvery, type Interval } from '../../../infra/flow/interval';
import type { EventLog } from '../../events/events';
import { POOL_STREAM } from '../../events/events.store';
import { ASKED_MODULES, explainLacks, FEATURE_NAMES, findLacks } from './features';
import { saveMissingModules } from './missing-modules.store';

/** Sends a command to the node in question. */
export type Ask = (command: ApiCommand) => Promise<Reply>;

export interface ModulesDeps {
  log: EventLog;
  logger: Logger;
}

/** A module is loaded or unloaded by hand now and then: `load mod_av` counts within this time. */
const ASK_EVERY_MS = 30_000;

/**
 * Each by itself: the list of all that modules bring is 40 kB and more.
 * @returns undefined where the node does not say of one of them whether it is there
 */
export async function askMissingModules(
  ask: Ask,
  modules: readonly string[] = ASKED_MODULES,
): Promise<string[] | undefined> {
  const answers = await Promise.all(modules.map(async (module) => (await ask(moduleExists(module))).text.trim()));
  if (!answers.every((text) => text === 'true' || text === 'false')) return undefined;
  return modules.filter((_, i) => answers[i] === 'false');
}

/** Writes down what it has not, and says once what became different. */
export async function learnModules(
  { log, logger }: ModulesDeps,
  node: { id: string; name: string },
  ask: Ask,
): Promise<void> {
  const missing = await askMissingModules(ask);
  if (!missing) return;
  const lacks = findLacks(missing, FEATURE_NAMES);
  const isNews = await log.record(async (trx, emit) => {
    if (!(await saveMissingModules(trx, node.id, missing))) return false;
    const data = { name: node.name, missing, note: lacks.length > 0 ? explainLacks(lacks) : null };
    emit({ stream: POOL_STREAM, type: 'node.modules', nodeId: node.id, data });
    return true;
  });
  if (!isNews) return;
  if (missing.length > 0) logger.warn({ node: node.name, missing }, `a node lacks modules: ${explainLacks(lacks)}`);
  else logger.info({ node: node.name }, 'a node has all modules');
}

/** @param connection answers undefined while there is none */
export function watchModules(
  deps: ModulesDeps,
  node: { id: string; name: string },
  connection: () => Ask | undefined,
): Interval {
  return runEvery(`modules of ${node.name}`, ASK_EVERY_MS, deps.logger, async () => {
    const ask = connection();
    if (ask) await learnModules(deps, node, ask);
  });
}
