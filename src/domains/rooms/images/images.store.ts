/** The SQL of rooms' images: what was uploaded, and what lies of it on nodes. */
import type { Queryable } from '../../../infra/stores/db';
import type { SessionRow } from '../sessions/sessions.store';

export const IMAGE_KINDS = ['background', 'welcome'] as const;
export type ImageKind = (typeof IMAGE_KINDS)[number];

export interface ImageFacts {
  id: string;
  room_id: string;
  kind: ImageKind;
  content_type: string;
  width: number;
  height: number;
  sha256: string;
  /** Since when the room has one of this kind; a new one in its place changes nothing of it. */
  created_at: Date;
  updated_at: Date;
}

export interface ImageRow extends ImageFacts {
  content: Buffer;
}

/** An image on the node of one session. */
export interface PlacedImage {
  session_id: string;
  kind: ImageKind;
  node_id: string;
  /** On the node; a new image takes the old one's place under the same name. */
  path: string;
  /** What lies there; null: nothing. */
  image_id: string | null;
  /** What was last tried to be brought there, and how often in vain. */
  tried_id: string | null;
  tries: number;
  next_try_at: Date | null;
  fault: string | null;
  /** What the node was last told to show, in which state of the room; null: nothing yet. */
  shown: string | null;
  /** Told once more at this time: a layout may have changed in between. */
  confirm_at: Date | null;
}

const FACTS = ['id', 'room_id', 'kind', 'content_type', 'width', 'height', 'sha256', 'created_at', 'updated_at'];

export async function putImage(db: Queryable, row: Omit<ImageRow, 'created_at'>): Promise<void> {
  const { room_id: _room, kind: _kind, ...anew } = row;
  await db('room_images').insert(row).onConflict(['room_id', 'kind']).merge(Object.keys(anew));
}

export async function deleteImage(db: Queryable, roomId: string, kind: ImageKind): Promise<boolean> {
  return (await db('room_images').where({ room_id: roomId, kind }).delete()) > 0;
}

export async function findImage(db: Queryable, roomId: string, kind: ImageKind): Promise<ImageRow | undefined> {
  return (await db('room_images').where({ room_id: roomId, kind }).first()) as ImageRow | undefined;
}

export async function findImageById(db: Queryable, id: string): Promise<ImageRow | undefined> {
  return (await db('room_images').where({ id }).first()) as ImageRow | undefined;
}

export async function listImages(db: Queryable, roomId: string): Promise<ImageFacts[]> {
  return (await db('room_images').where({ room_id: roomId }).select(FACTS)) as ImageFacts[];
}

/** Live sessions that should show an image, or have one on their node. */
export async function listSessionsWithImages(db: Queryable): Promise<SessionRow[]> {
  return (await db('sessions as s')
    .where('s.state', 'live')
    .where((either) =>
      either
        .whereExists(db('room_images as p').whereRaw('p.room_id = s.room_id').select(db.raw('1')))
        .orWhereExists(db('session_images as q').whereRaw('q.session_id = s.id').select(db.raw('1'))),
    )
    .select('s.*')) as SessionRow[];
}

export async function listPlaced(db: Queryable, sessionId: string): Promise<PlacedImage[]> {
  return (await db('session_images').where({ session_id: sessionId })) as PlacedImage[];
}

/** What lies on nodes for sessions that are over, or whose room was deleted. */
export async function listLeftBehind(db: Queryable, limit: number): Promise<PlacedImage[]> {
  return (await db('session_images as q')
    .whereNotExists(
      db('sessions as s').whereRaw('s.id = q.session_id').whereNot('s.state', 'ended').select(db.raw('1')),
    )
    .limit(limit)
    .select('q.*')) as PlacedImage[];
}

export async function savePlaced(db: Queryable, row: PlacedImage): Promise<void> {
  await db('session_images').insert(row).onConflict(['session_id', 'kind']).merge();
}

export async function deletePlaced(db: Queryable, sessionId: string, kind: ImageKind): Promise<void> {
  await db('session_images').where({ session_id: sessionId, kind }).delete();
}
