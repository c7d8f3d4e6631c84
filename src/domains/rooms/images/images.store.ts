/** The SQL of rooms' pictures: what was uploaded, and what lies of it on nodes. */
import type { Queryable } from '../../../infra/stores/db';
import type { SessionRow } from '../sessions/sessions.store';

export const PICTURE_KINDS = ['background', 'welcome'] as const;
export type PictureKind = (typeof PICTURE_KINDS)[number];

export interface PictureFacts {
  id: string;
  room_id: string;
  kind: PictureKind;
  content_type: string;
  width: number;
  height: number;
  sha256: string;
  /** Since when the room has one of this kind; a new one in its place changes nothing of it. */
  created_at: Date;
  updated_at: Date;
}

export interface PictureRow extends PictureFacts {
  content: Buffer;
}

/** A picture on the node of one session. */
export interface PlacedPicture {
  session_id: string;
  kind: PictureKind;
  node_id: string;
  /** On the node; a new picture takes the old one's place under the same name. */
  path: string;
  /** What lies there; null: nothing. */
  picture_id: string | null;
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

export async function putPicture(db: Queryable, row: Omit<PictureRow, 'created_at'>): Promise<void> {
  const { room_id: _room, kind: _kind, ...anew } = row;
  await db('room_pictures').insert(row).onConflict(['room_id', 'kind']).merge(Object.keys(anew));
}

export async function deletePicture(db: Queryable, roomId: string, kind: PictureKind): Promise<boolean> {
  return (await db('room_pictures').where({ room_id: roomId, kind }).delete()) > 0;
}

export async function findPicture(db: Queryable, roomId: string, kind: PictureKind): Promise<PictureRow | undefined> {
  return (await db('room_pictures').where({ room_id: roomId, kind }).first()) as PictureRow | undefined;
}

export async function findPictureById(db: Queryable, id: string): Promise<PictureRow | undefined> {
  return (await db('room_pictures').where({ id }).first()) as PictureRow | undefined;
}

export async function listPictures(db: Queryable, roomId: string): Promise<PictureFacts[]> {
  return (await db('room_pictures').where({ room_id: roomId }).select(FACTS)) as PictureFacts[];
}

/** Live sessions that should show a picture, or have one on their node. */
export async function listSessionsWithPictures(db: Queryable): Promise<SessionRow[]> {
  return (await db('sessions as s')
    .where('s.state', 'live')
    .where((either) =>
      either
        .whereExists(db('room_pictures as p').whereRaw('p.room_id = s.room_id').select(db.raw('1')))
        .orWhereExists(db('session_pictures as q').whereRaw('q.session_id = s.id').select(db.raw('1'))),
    )
    .select('s.*')) as SessionRow[];
}

export async function listPlaced(db: Queryable, sessionId: string): Promise<PlacedPicture[]> {
  return (await db('session_pictures').where({ session_id: sessionId })) as PlacedPicture[];
}

/** What lies on nodes for sessions that are over, or whose room was deleted. */
export async function listLeftBehind(db: Queryable, limit: number): Promise<PlacedPicture[]> {
  return (await db('session_pictures as q')
    .whereNotExists(
      db('sessions as s').whereRaw('s.id = q.session_id').whereNot('s.state', 'ended').select(db.raw('1')),
    )
    .limit(limit)
    .select('q.*')) as PlacedPicture[];
}

export async function savePlaced(db: Queryable, row: PlacedPicture): Promise<void> {
  await db('session_pictures').insert(row).onConflict(['session_id', 'kind']).merge();
}

export async function deletePlaced(db: Queryable, sessionId: string, kind: PictureKind): Promise<void> {
  await db('session_pictures').where({ session_id: sessionId, kind }).delete();
}
