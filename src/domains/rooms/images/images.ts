/** The images of a room: one behind the tiles, one over all while somebody is alone or waits for the moderator. */
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
import { IMAGE_KINDS, type ImageKind, type ImageRow } from './images.store';
import { cleanPng, type CleanPng } from './png';
import { presentRoomWithoutPins, type ImageView } from '../rooms';
import { findRoom, lockRoomRow, type RoomRow } from '../rooms.store';
import { findLivingSession, type SessionRow } from '../sessions/sessions.store';

export const MAX_IMAGE_BYTES = 2_000_000;
export const IMAGE_TYPE = 'image/png';

export const imageKind = z.enum(IMAGE_KINDS);

export interface ImageDeps {
  db: Db;
  events: EventLog;
  logger: Logger;
  links: Pick<NodeConnections, 'api' | 'connection' | 'isUp'>;
  secretKey: Buffer;
  now: () => number;
}

/** Brings a session's node to what the room's images are now. @returns the names of what it could not take over */
export type SyncImages = (session: SessionRow) => Promise<ImageKind[]>;

/** Only PNG: FreeSWITCH reads nothing else for this (1.10.12). @throws unprocessable, unsupported_media_type */
export async function readImage(kind: ImageKind, type: string, bytes: Buffer): Promise<CleanPng> {
  if (type !== IMAGE_TYPE) {
    throw new SwitchyardError('unsupported_media_type', 'Media nodes read PNG only: send it with image/png.');
  }
  const image = await cleanPng(bytes);
  if (kind === 'background' && image.hasAlpha) {
    // The node would lay it over memory that holds whatever was there before.
    throw new SwitchyardError('unprocessable', "A background can't be transparent: save it without an alpha channel.");
  }
  return image;
}

export interface ChangedImage extends ImageView {
  pending: string[];
}

export async function putImage(
  deps: ImageDeps,
  bring: SyncImages,
  room: RoomRow,
  o: { kind: ImageKind; type: string; bytes: Buffer },
): Promise<ChangedImage> {
  const { width, height, bytes } = await readImage(o.kind, o.type, o.bytes);
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
  const changed = await changeImage(deps, room, o.kind, (trx) => store.putImage(trx, row).then(() => true));
  const { images } = presentRoomImages(changed);
  return { ...images[o.kind]!, pending: await bringNow(deps, bring, room, o.kind) };
}

export async function removeImage(deps: ImageDeps, bring: SyncImages, room: RoomRow, kind: ImageKind): Promise<void> {
  await changeImage(deps, room, kind, async (trx) => {
    if (await store.deleteImage(trx, room.id, kind)) return true;
    throw new SwitchyardError('not_found', 'The room has no such image.');
  });
  await bringNow(deps, bring, room, kind);
}

async function changeImage(
  deps: ImageDeps,
  room: RoomRow,
  kind: ImageKind,
  change: (trx: Parameters<typeof store.putImage>[0]) => Promise<unknown>,
): Promise<RoomRow> {
  return deps.events.record(async (trx, emit) => {
    if (!(await lockRoomRow(trx, room.id))) throw new SwitchyardError('not_found', 'No such room.');
    await change(trx);
    const row = (await findRoom(trx, room.id))!;
    const data = { room: presentRoomWithoutPins(row), changed: [`${kind}.image`] };
    emit({ stream: row.domain_id, type: 'room.updated', roomId: row.id, data });
    return row;
  });
}

const presentRoomImages = (row: RoomRow): { images: Record<ImageKind, ImageView | null> } => {
  const { background, welcome } = presentRoomWithoutPins(row);
  return { images: { background: background.image, welcome: welcome.image } };
};

/** Who uploads waits until the node shows it, or has said why not. */
async function bringNow(deps: ImageDeps, bring: SyncImages, room: RoomRow, kind: ImageKind): Promise<string[]> {
  const session = await findLivingSession(deps.db, room.id);
  if (session?.state !== 'live') return [];
  const waiting = await bring(session).catch((error: unknown) => {
    deps.logger.warn({ err: error, sessionId: session.id }, 'an image did not reach a room now');
    return [kind];
  });
  return waiting.includes(kind) ? [`${kind}.image`] : [];
}

/** For the door of nodes. @throws unauthorized without a token for this very image; not_found */
export async function admitImage(
  deps: Pick<ImageDeps, 'db' | 'secretKey' | 'now'>,
  id: string,
  token: string | undefined,
): Promise<ImageRow> {
  const claims = token === undefined ? undefined : readToken(deps.secretKey, 'image', token, deps.now());
  if (claims?.image !== id) {
    throw new SwitchyardError('unauthorized', 'Send the token that was issued for this image.');
  }
  const row = await store.findImageById(deps.db, id);
  if (!row) throw new SwitchyardError('not_found', 'No such image.');
  return row;
}
