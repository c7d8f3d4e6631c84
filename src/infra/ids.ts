/** Makes ids that sort by time (UUID version 7, RFC 9562), so that a list's cursor is its last id. */
import { createHash, randomBytes } from 'node:crypto';
import { storeClock } from './store-clock';

/** @param nowMs milliseconds since 1970 @param random 10 random bytes */
export function createId(nowMs: number = storeClock.nowMs(), random: Buffer = randomBytes(10)): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(nowMs, 0, 6);
  random.copy(bytes, 6, 0, 10);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** An id in small letters, as ours are, to be put into a longer pattern. It has no groups. */
export const ID_PATTERN = '[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}';

const ID = new RegExp(`^${ID_PATTERN}$`, 'i');
const OWN_ID = new RegExp(`^${ID_PATTERN}$`);

/** True for every text that Postgres takes for an id, ours or another's. */
export const isId = (text: string): boolean => ID.test(text);

/** True for an id as we and FreeSWITCH write it: in small letters, so that one thing has one name. */
export const isOwnId = (text: string): boolean => OWN_ID.test(text);

const VERSION_AT = 14;

/**
 * The same id as one of version 8, which RFC 9562 leaves to us: of something that goes on although it could not be written
 * down. Whoever finds it later, and no row of it, knows that nothing was lost.
 */
export const markUnwritten = (id: string): string => `${id.slice(0, VERSION_AT)}8${id.slice(VERSION_AT + 1)}`;

export const isUnwritten = (id: string): boolean => id[VERSION_AT] === '8';

/**
 * A leg's id as the API shows it. A leg's own id is a key: an INVITE with `Replaces` that names it takes the call, or ends
 * it where the leg has no partner (FreeSWITCH looks sessions up by it), so it is told to nobody. Its hash names the same
 * leg, and does not lead back: the id has 74 random bits.
 */
export function showLegId(legId: string): string {
  const hex = createHash('sha256').update(`leg ${legId}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** When an id was made, in milliseconds since 1970; of one that is not ours, some number. */
export const timeOfId = (id: string): number => parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
