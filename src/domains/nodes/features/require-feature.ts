/** Says at once, to whoever asks, that a node lacks what they want: else it would fail there later, and nobody knew why. */
import { SwitchyardError } from '../../../errors';
import type { Db } from '../../../infra/stores/db';
import type { NodeConnections } from '../connections/node-connections';
import { askMissingModules } from './ask-modules';
import { explainLacks, FEATURES, findLacks, type Feature, type Lack } from './features';
import { findMissingModules, listServingModules } from './missing-modules.store';

export interface RequireDeps {
  db: Db;
  links: Pick<NodeConnections, 'api'>;
}

const wayOut = (lacks: readonly Lack[]): string => {
  const modules = [...new Set(lacks.flatMap((lack) => lack.modules))];
  return `load ${modules.join(' and ')} there ("load" in modules.conf.xml, or the command "load ${modules[0]}")`;
};

/**
 * What is written down may be half a minute old: the node is asked once more before it is said to lack something.
 * @returns what it lacks, in words; undefined where it has all, or nothing is known
 */
export async function explainMissing(
  deps: RequireDeps,
  nodeId: string,
  feature: Feature,
): Promise<{ what: string; wayOut: string } | undefined> {
  const node = await findMissingModules(deps.db, nodeId);
  if (findLacks(node?.missing_modules, [feature]).length === 0) return undefined;
  const now = await askMissingModules((command) => deps.links.api(nodeId, command), FEATURES[feature].modules).catch(
    () => undefined,
  );
  const lacks = findLacks(now ?? node?.missing_modules, [feature]);
  if (lacks.length === 0) return undefined;
  return { what: `node ${node!.name}: ${explainLacks(lacks)}`, wayOut: wayOut(lacks) };
}

/** @throws feature_missing where the node can't do that */
export async function requireFeature(deps: RequireDeps, nodeId: string, feature: Feature): Promise<void> {
  const missing = await explainMissing(deps, nodeId, feature);
  if (missing) throw new SwitchyardError('feature_missing', `The ${missing.what}. So ${missing.wayOut}.`);
}

/** For what begins later, on a node that is chosen then. @throws feature_missing where none of those that serve could */
export async function requireSomeNode(deps: Pick<RequireDeps, 'db'>, feature: Feature): Promise<void> {
  const lacking = (await listServingModules(deps.db)).map(({ name, missing_modules }) => ({
    name,
    lacks: findLacks(missing_modules, [feature]),
  }));
  if (lacking.length > 0 && lacking.every(({ lacks }) => lacks.length > 0)) throw noNodeHas(lacking);
}

const NAMED = 5;

/** The fault to throw where every node that could be taken lacks something. */
export function noNodeHas(nodes: readonly { name: string; lacks: readonly Lack[] }[]): SwitchyardError {
  const shown = nodes.slice(0, NAMED).map(({ name, lacks }) => `${name}: ${explainLacks(lacks)}`);
  const more = nodes.length > NAMED ? [`and ${nodes.length - NAMED} more`] : [];
  const said = [...shown, ...more].join('; ');
  return new SwitchyardError('feature_missing', `No serving node can do this. ${said}. So ${wayOut(nodes[0]!.lacks)}.`);
}
