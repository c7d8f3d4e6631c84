/** The pictures of a room: one behind the tiles, one over all while somebody is alone or waits for the moderator. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { SwitchyardError } from '../../../errors';
import type { Db } from '../../../infra/stores/db';
import { createId } from '../../../infra/ids';
import type { Logger } from '../../../infra/logger';
import { readToken } from '../../../infra/secrets';
import type { EventLog } from '../../events/events';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import * as store from './images.store';
import { PICTURE_KINDS, type PictureKind, type PictureRow } from './images.store';
import { cleanPng, type CleanPng } from './png';
import { showOpenly, type PictureView } from '../rooms';
import { findRoom, lockRoomRow, type RoomRow } from '../rooms.store';
import { findLivingSession, type SessionRow } from '../sessions/sessions.store';

export const MAX_PICTURE_BYTES = 2_000_000;
export const PICTURE_TYPE = 'image/png';

export const pictureKind = z.enum(PICTURE_KINDS);

export interface PictureDeps {
  db: Db;
  events: EventLog;
  logger: Logger;
  links: Pick<NodeConnections, 'api' | 'connection' | 'isUp'>;
  secretKey: Buffer;
  now: () => number;
}

/** Brings a session's node to what the room's pictures are now. @returns the names of what it could not take over */
export type BringPictures = (session: SessionRow) => Promise<PictureKind[]>;

/** Only PNG: FreeSWITCH reads nothing else for this (1.10.12). @throws unprocessable, unsupported_media_type */
export async function readPicture(kind: PictureKind, type: string, bytes: Buffer): Promise<CleanPng> {
  if (type !== PICTURE_TYPE) {
    throw new SwitchyardError('unsupported_media_type', 'Media nodes read PNG only: send it with image/png.');
  }
  const picture = await cleanPng(bytes);
  if (kind === 'background' && picture.hasAlpha) {
    // The node would lay it over memory that holds whatever was there before.
    throw new SwitchyardError(
      'unprocessable',
      'A background can not be transparent: save it without an alpha channel.',
    );
  }
  return picture;
}

export interface ChangedPicture extends PictureView {
  pending: string[];
}

export async function putPicture(
  deps: PictureDeps,
  bring: BringPictures,
  room: RoomRow,
  o: { kind: PictureKind; type: string; bytes: Buffer },
): Promise<ChangedPicture> {
  const { width, height, bytes } = await readPicture(o.kind, o.type, o.bytes);
  const row = {
    id: createId(),
    room_id: room.id,
    kind: o.kind,
    content_type: o.type,
    width,
    height,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    content: bytes,
    updated_at: new Date(deps.now()),
  };
  const changed = await changePicture(deps, room, o.kind, (trx) => store.putPicture(trx, row).then(() => true));
  const { pictures } = showRoomPictures(changed);
  return { ...pictures[o.kind]!, pending: await bringNow(deps, bring, room, o.kind) };
}

export async function removePicture(
  deps: PictureDeps,
  bring: BringPictures,
  room: RoomRow,
  kind: PictureKind,
): Promise<void> {
  await changePicture(deps, room, kind, async (trx) => {
    if (await store.deletePicture(trx, room.id, kind)) return true;
    throw new SwitchyardError('not_found', 'The room has no such picture.');
  });
  await bringNow(deps, bring, room, kind);
}

async function changePicture(
  deps: PictureDeps,
  room: RoomRow,
  kind: PictureKind,
  change: (trx: Parameters<typeof store.putPicture>[0]) => Promise<unknown>,
): Promise<RoomRow> {
  return deps.events.record(async (trx, emit) => {
    if (!(await lockRoomRow(trx, room.id))) throw new SwitchyardError('not_found', 'There is no such room.');
    await change(trx);
    const row = (await findRoom(trx, room.id))!;
    const data = { room: showOpenly(row), changed: [`${kind}.picture`] };
    emit({ stream: row.domain_id, type: 'room.updated', roomId: row.id, data });
    return row;
  });
}

const showRoomPictures = (row: RoomRow): { pictures: Record<PictureKind, PictureView | null> } => {
  const { background, welcome } = showOpenly(row);
  return { pictures: { background: background.picture, welcome: welcome.picture } };
};

/** Who uploads waits until the node shows it, or has said why not. */
async function bringNow(deps: PictureDeps, bring: BringPictures, room: RoomRow, kind: PictureKind): Promise<string[]> {
  const session = await findLivingSession(deps.db, room.id);
  if (session?.state !== 'live') return [];
  const waiting = await bring(session).catch((error: unknown) => {
    deps.logger.warn({ err: error, sessionId: session.id }, 'a picture did not reach a room now');
    return [kind];
  });
  return waiting.includes(kind) ? [`${kind}.picture`] : [];
}

/** For the door of nodes. @throws unauthorized without a token for this very picture; not_found */
export async function admitPicture(
  deps: Pick<PictureDeps, 'db' | 'secretKey' | 'now'>,
  id: string,
  token: string | undefined,
): Promise<PictureRow> {
  const claims = token === undefined ? undefined : readToken(deps.secretKey, 'picture', token, deps.now());
  if (claims?.picture !== id) {
    throw new SwitchyardError('unauthorized', 'A node shows the token it was given for this picture.');
  }
  const row = await store.findPictureById(deps.db, id);
  if (!row) throw new SwitchyardError('not_found', 'There is no such picture.');
  return row;
}
