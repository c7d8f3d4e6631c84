/** Rooms: places to meet, as they should be. */
import { z } from 'zod';
import { nameTaken, SwitchyardError } from '../../errors';
import type { Db } from '../../infra/stores/db';
import { newDialledName } from '../../infra/text/dialled-name';
import { createId } from '../../infra/ids';
import type { Logger } from '../../infra/logger';
import type { Caller } from '../../infra/route';
import { isPlainText, plainText } from '../../infra/text/plain-text';
import { findSameName } from '../users/users.store';
import { requireDomain } from '../domains/domains';
import type { EventLog } from '../events/events';
import type { NodeConnections } from '../nodes/connections/node-connections';
import type { Quotas } from '../quotas/quotas';
import { refuseNumberAsName } from '../users/numbers';
import { isGrantName } from '../grants/grant-name';
import type { RoomHooksOwner } from './sessions/listeners';
import { requireLayout } from './layouts/layouts';
import { openPins, sealPin } from './joining/pins';
import * as store from './rooms.store';
import type { RoomRow } from './rooms.store';
import { findLivingSession, type SessionRow } from './sessions/sessions.store';
import { DEFAULT_SETTINGS, mergeSettings, pin, readSettings, roomSettings, settingsPatch } from './settings';

const MAX_METADATA = 20;

export const roomName = newDialledName
  .refine((name) => !isGrantName(name), 'must not look like the SIP name of a grant')
  .describe('What callers dial. If a user has the same name, digits call the user; `room:NAME` always means the room.');

const metadata = z
  .record(z.string().min(1).max(64).refine(isPlainText, 'must be plain text'), plainText({ max: 512 }))
  .refine((all) => Object.keys(all).length <= MAX_METADATA, `must have at most ${MAX_METADATA} entries`)
  .describe('Your own data, stored and returned unchanged.');

/** What can be said of a room when it is made or changed, beside its name. */
export const roomFields = {
  displayName: plainText({ max: 128 }).optional(),
  pin: pin.optional().describe('Callers must enter it; null: no PIN.'),
  moderatorPin: pin.optional().describe('Makes a caller a moderator; null: none.'),
  metadata: metadata.optional(),
  ...settingsPatch.shape,
};
export type RoomPatch = z.output<z.ZodObject<typeof roomFields>>;

export const imageSchema = z
  .object({ contentType: z.string(), width: z.int(), height: z.int(), updatedAt: z.iso.datetime() })
  .meta({ id: 'Image' });
export type ImageView = z.output<typeof imageSchema>;

export const roomSchema = z
  .object({
    id: z.uuid(),
    domain: z.string(),
    name: z.string(),
    displayName: z.string(),
    pin: z.string().nullable(),
    moderatorPin: z.string().nullable(),
    metadata: z.record(z.string(), z.string()),
    ...roomSettings.shape,
    background: roomSettings.shape.background.extend({
      image: imageSchema.nullable().describe('Behind the participants; the image is uploaded separately.'),
    }),
    welcome: z.object({
      image: imageSchema.nullable().describe('Shown to someone who is alone or waits for the moderator.'),
    }),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Room' });
export type RoomView = z.output<typeof roomSchema>;

export const changedRoomSchema = roomSchema
  .extend({
    pending: z
      .array(z.string())
      .describe("Settings (`video.mode`) that the current session doesn't have; they apply to the next one."),
  })
  .meta({ id: 'ChangedRoom' });

export interface RoomsDeps {
  db: Db;
  events: EventLog;
  quotas: Pick<Quotas, 'take'>;
  logger: Logger;
  /** Seals PINs. */
  secretKey: Buffer;
  links: Pick<NodeConnections, 'api'>;
  hooks: Pick<RoomHooksOwner, 'settingsChanged'>;
  /** Ends a session for everybody in it. */
  closeSession: (session: SessionRow) => Promise<void>;
}

function presentImage(row: RoomRow, kind: string): ImageView | null {
  const image = row.images?.[kind];
  return image ? { ...image, updatedAt: new Date(image.updatedAt).toISOString() } : null;
}

/** A room without its PINs: this is what events carry. */
export function presentRoomWithoutPins(row: RoomRow): Omit<RoomView, 'pin' | 'moderatorPin'> {
  const settings = readSettings(row.settings);
  return {
    id: row.id,
    domain: row.domain_name,
    name: row.name,
    displayName: row.display_name,
    metadata: row.metadata as Record<string, string>,
    ...settings,
    background: { ...settings.background, image: presentImage(row, 'background') },
    welcome: { image: presentImage(row, 'welcome') },
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

export function presentRoom(secretKey: Buffer, row: RoomRow): RoomView {
  return { ...presentRoomWithoutPins(row), ...openPins(secretKey, row) };
}

/** @throws SwitchyardError invalid_request where both are the same. Two equal PINs would say nothing of who is a moderator. */
export function checkPins(room: { pin: string | null; moderatorPin: string | null }): void {
  if (room.pin === null || room.pin !== room.moderatorPin) return;
  throw new SwitchyardError('invalid_request', 'The two PINs must differ.', {
    errors: [{ path: 'moderatorPin', message: 'must differ from pin' }],
  });
}

export async function createRoom(
  deps: RoomsDeps,
  caller: Caller,
  input: RoomPatch & { domain?: string; name: string },
): Promise<RoomView> {
  const { pin: plainPin = null, moderatorPin = null } = input;
  checkPins({ pin: plainPin, moderatorPin });
  const settings = mergeSettings(DEFAULT_SETTINGS, settingsOf(input));
  return deps.events.record(async (trx, emit) => {
    const domain = await requireDomain(trx, caller, input.domain);
    await requireLayout(trx, domain.id, settings.layout);
    await deps.quotas.take(trx, domain.id, { rooms: 1 });
    await refuseNumberAsName(trx, domain, input.name);
    const id = createId();
    const same = await findSameName(trx, 'rooms', domain.id, input.name);
    if (same !== undefined)
      throw new SwitchyardError(
        'conflict',
        `A room named "${same}" already exists: names may not differ by case alone.`,
      );
    const made = await store.insertRoom(trx, {
      id,
      domain_id: domain.id,
      name: input.name,
      display_name: input.displayName ?? '',
      settings: { ...settings },
      pin_sealed: sealPin(deps.secretKey, 'room-pin', id, plainPin),
      moderator_pin_sealed: sealPin(deps.secretKey, 'moderator-pin', id, moderatorPin),
      metadata: input.metadata ?? {},
    });
    if (!made) throw nameTaken('room', input.name);
    const row = (await store.findRoom(trx, id))!;
    emit({ stream: row.domain_id, type: 'room.created', roomId: id, data: { room: presentRoomWithoutPins(row) } });
    return presentRoom(deps.secretKey, row);
  });
}

const SETTING_NAMES = Object.keys(settingsPatch.shape);

/** Of a request's fields those that are settings. */
export function settingsOf(input: RoomPatch): z.output<typeof settingsPatch> {
  return Object.fromEntries(Object.entries(input).filter(([name]) => SETTING_NAMES.includes(name)));
}

/** @throws SwitchyardError conflict while somebody is in it, unless `force` */
export async function removeRoom(deps: RoomsDeps, room: RoomRow, force: boolean): Promise<void> {
  const living = await findLivingSession(deps.db, room.id);
  if (living && !force) {
    throw new SwitchyardError('conflict', 'This room has a live session: wait for its end, or use ?force=true.');
  }
  if (living) await deps.closeSession(living);
  await deps.events.record(async (trx, emit) => {
    if (!(await store.lockRoomRow(trx, room.id))) throw new SwitchyardError('not_found', 'No such room.');
    if (await findLivingSession(trx, room.id)) {
      throw new SwitchyardError('conflict', 'Somebody has just entered the room: retry.');
    }
    await store.deleteRoom(trx, room.id);
    emit({
      stream: room.domain_id,
      type: 'room.deleted',
      roomId: room.id,
      data: { room: presentRoomWithoutPins(room) },
    });
  });
}
