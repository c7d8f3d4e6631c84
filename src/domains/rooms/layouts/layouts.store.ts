/** The SQL of layouts that domains made for themselves. */
import type { Queryable } from '../../../infra/stores/db';

export interface LayoutRow {
  id: string;
  domain_id: string;
  domain_name: string;
  name: string;
  /** `{images}`, checked by layouts.ts when it was written. */
  definition: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
}

const selectLayouts = (db: Queryable) =>
  db('room_layouts as l').join('domains as d', 'd.id', 'l.domain_id').select('l.*', 'd.name as domain_name');

export async function insertLayout(
  db: Queryable,
  row: { id: string; domain_id: string; name: string; definition: unknown },
): Promise<void> {
  await db('room_layouts').insert({ ...row, definition: JSON.stringify(row.definition) });
}

export async function findLayout(db: Queryable, id: string): Promise<LayoutRow | undefined> {
  return (await selectLayouts(db).where('l.id', id).first()) as LayoutRow | undefined;
}

/** In the order of their making; `limit` and one more, where there is one. */
export async function listLayoutRows(
  db: Queryable,
  filter: { domainId?: string; name?: string; after?: string; limit: number },
): Promise<LayoutRow[]> {
  const query = selectLayouts(db)
    .orderBy('l.id')
    .limit(filter.limit + 1);
  if (filter.domainId) void query.where('l.domain_id', filter.domainId);
  if (filter.name) void query.where('l.name', filter.name);
  if (filter.after) void query.where('l.id', '>', filter.after);
  return (await query) as LayoutRow[];
}

export async function listLayoutNames(db: Queryable, domainId: string): Promise<string[]> {
  return (await db('room_layouts').where({ domain_id: domainId }).orderBy('name').pluck('name')) as string[];
}

/** Holds the layout until the transaction ends, so that no room can come to use it in the meantime. */
export async function lockLayout(db: Queryable, id: string): Promise<boolean> {
  return ((await db('room_layouts').where({ id }).forUpdate().first('id')) as unknown) !== undefined;
}

/** Keeps a layout of that name from being deleted until the transaction ends. @returns whether there is one */
export async function holdLayoutNamed(db: Queryable, domainId: string, name: string): Promise<boolean> {
  const row: unknown = await db('room_layouts').where({ domain_id: domainId, name }).forShare().first('id');
  return row !== undefined;
}

export async function updateLayout(db: Queryable, id: string, definition: unknown): Promise<boolean> {
  const change = { definition: JSON.stringify(definition), updated_at: db.fn.now() };
  return (await db('room_layouts').where({ id }).update(change)) > 0;
}

export async function deleteLayout(db: Queryable, id: string): Promise<boolean> {
  return (await db('room_layouts').where({ id }).delete()) > 0;
}

/** The names of a few rooms that are set to the layout, or show it in a session that is not over. */
export async function listUsesOfLayout(db: Queryable, domainId: string, name: string): Promise<string[]> {
  const rows = (await db('rooms as r')
    .where('r.domain_id', domainId)
    .where((of) => {
      void of
        .whereRaw(`r.settings ->> 'layout' = ?`, [name])
        .orWhereExists(
          db('sessions as s').whereRaw('s.room_id = r.id').where('s.layout', name).whereNot('s.state', 'ended'),
        );
    })
    .orderBy('r.name')
    .limit(5)
    .pluck('r.name')) as string[];
  return rows;
}
