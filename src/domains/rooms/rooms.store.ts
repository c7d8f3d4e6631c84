/** The SQL of rooms: what each should be, whether anybody is in it or not. */
import type { Queryable, Trx } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';

export interface RoomRow {
  id: string;
  domain_id: string;
  domain_name: string;
  /** What is dialled. */
  name: string;
  display_name: string;
  /** Checked by roomSettings in settings.ts when it was written; read with readSettings(). */
  settings: Record<string, unknown>;
  pin_sealed: string | null;
  moderator_pin_sealed: string | null;
  metadata: Record<string, unknown>;
  /** kind → what is shown of it; null where there is none. */
  images: Partial<Record<string, StoredImage>> | null;
  created_at: Date;
  updated_at: Date;
}

/** Of an image what stands in the room's answer; the time as Postgres writes it in JSON. */
export interface StoredImage {
  contentType: string;
  width: number;
  height: number;
  updatedAt: string;
}

export type NewRoom = Partial<Omit<RoomRow, 'domain_name' | 'images'>> & { id: string };

const IMAGES = `(select jsonb_object_agg(p.kind, jsonb_build_object('contentType', p.content_type,
  'width', p.width, 'height', p.height, 'updatedAt', p.updated_at)) from room_images p where p.room_id = r.id) as images`;

const selectRooms = (db: Queryable) =>
  db('rooms as r').join('domains as d', 'd.id', 'r.domain_id').select('r.*', 'd.name as domain_name', db.raw(IMAGES));

/** @returns false where the domain has a room of that name. */
export async function insertRoom(db: Queryable, row: NewRoom): Promise<boolean> {
  const rows = (await db('rooms').insert(row).onConflict(['domain_id', 'name']).ignore().returning('id')) as unknown[];
  return rows.length > 0;
}

export async function findRoom(db: Queryable, id: string): Promise<RoomRow | undefined> {
  return (await selectRooms(db).where('r.id', id).first()) as RoomRow | undefined;
}

/** In whatever capitals: the one that is written so comes first. */
export async function findRoomByName(db: Queryable, domain: string, name: string): Promise<RoomRow | undefined> {
  return (await selectRooms(db)
    .where({ 'd.name': domain.toLowerCase() })
    .whereRaw('lower(r.name) = lower(?)', [name])
    .orderByRaw('(r.name = ?) desc, r.id', [name])
    .first()) as RoomRow | undefined;
}

/** Holds the room until the transaction ends. */
export async function lockRoomRow(trx: Trx, id: string): Promise<RoomRow | undefined> {
  return (await selectRooms(trx).where('r.id', id).forUpdate('r').first()) as RoomRow | undefined;
}

export async function listRoomRows(
  db: Queryable,
  filter: { domainId?: string; name?: string; after?: string; limit: number },
): Promise<RoomRow[]> {
  const query = selectRooms(db)
    .orderBy('r.id')
    .limit(filter.limit + 1);
  if (filter.domainId) void query.where('r.domain_id', filter.domainId);
  if (filter.name) void query.where('r.name', filter.name);
  if (filter.after) void query.where('r.id', '>', filter.after);
  return (await query) as RoomRow[];
}

export async function updateRoom(db: Queryable, id: string, change: Partial<NewRoom>): Promise<boolean> {
  return (
    (await db('rooms')
      .where({ id })
      .update({ ...change, updated_at: storeClock.now() })) > 0
  );
}

export async function deleteRoom(db: Queryable, id: string): Promise<boolean> {
  return (await db('rooms').where({ id }).delete()) > 0;
}
