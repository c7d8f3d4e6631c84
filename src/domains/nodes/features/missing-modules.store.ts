/** The SQL of what a node has not loaded. */
import type { Queryable } from '../../../infra/stores/db';
import type { NodeState } from '../nodes.store';

/** @returns false where that was written down already */
export async function saveMissingModules(db: Queryable, nodeId: string, missing: readonly string[]): Promise<boolean> {
  const written = JSON.stringify(missing);
  // That a new node has everything is no news.
  if (missing.length === 0)
    await db('nodes').where({ id: nodeId }).whereNull('missing_modules').update({ missing_modules: written });
  const count = await db('nodes')
    .where({ id: nodeId })
    .whereRaw('missing_modules is distinct from ?::jsonb', [written])
    .update({ missing_modules: written });
  return count > 0;
}

export type AbleNode = { id: string; name: string; state: NodeState; missing_modules: string[] | null };

export async function findMissingModules(db: Queryable, nodeId: string): Promise<AbleNode | undefined> {
  return (await db('nodes').where({ id: nodeId }).first('id', 'name', 'state', 'missing_modules')) as
    AbleNode | undefined;
}

export async function listServingModules(db: Queryable): Promise<AbleNode[]> {
  return (await db('nodes')
    .where({ state: 'serving' })
    .orderBy('name')
    .select('id', 'name', 'state', 'missing_modules')) as AbleNode[];
}
