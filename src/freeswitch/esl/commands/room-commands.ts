/** Commands to a running room (mod_conference), as values. A room is named by its session's id, a member by its number. */
import { SwitchyardError } from '../../../errors';
import type { ApiCommand } from './commands';
import { assertToken, escapeArgument, inertText } from '../escape';
import { soundSource } from './sounds';

/** Whom a command is for: a member's number, everybody, or everybody but the moderators. */
export type MemberTarget = number | 'all' | 'non_moderator';

function inRoom(sessionId: string, ...words: string[]): ApiCommand {
  return { line: ['conference', assertToken(sessionId, 'sessionId'), ...words].join(' ') };
}

function whom(target: MemberTarget): string {
  if (target === 'all' || target === 'non_moderator') return target;
  if (Number.isInteger(target) && target > 0) return String(target);
  throw new SwitchyardError('invalid_request', 'A member has a number above 0.');
}

function wholeNumber(value: number, from: number, to: number, what: string): string {
  if (Number.isInteger(value) && value >= from && value <= to) return String(value);
  throw new SwitchyardError('invalid_request', `${what} is not a whole number from ${from} to ${to}.`);
}

/** A path of ours, an address, or a tone: FreeSWITCH splits the line at blanks. */
const path = (text: string): string => escapeArgument(text, 'path');

/** Who has the floor, and whose place is kept, for all rooms of the node; parseRoomFlags() reads the answer. */
export const listRoomFlags = (): ApiCommand => ({ line: 'conference list' });
/** The same of one room, without what counts for the room as a whole. */
export const listMemberFlags = (sessionId: string): ApiCommand => inRoom(sessionId, 'list');
/** All rooms of the node with their members; parseRooms() reads the answer. */
export const listRooms = (): ApiCommand => ({ line: 'conference json_list' });
/** One room; `-ERR Conference … not found` where the node has none of that name. */
export const listRoom = (sessionId: string): ApiCommand => inRoom(sessionId, 'json_list');

export type MemberSwitch = 'mute' | 'unmute' | 'vmute' | 'unvmute' | 'deaf' | 'undeaf';

/** Sound, video and hearing. FreeSWITCH answers +OK; `mute-member` and its kin say that it was done. */
export const switchMember = (sessionId: string, target: MemberTarget, what: MemberSwitch): ApiCommand =>
  inRoom(sessionId, what, whom(target));

/** Out of the room, and hung up. */
export const hangUpMember = (sessionId: string, target: MemberTarget): ApiCommand =>
  inRoom(sessionId, 'hup', whom(target));

/**
 * Gives the floor where it is free, takes it from who has it, and refuses where somebody else has it. A free floor is
 * given away by the mixer within 20 ms, so to move it both commands go out at once: first for its holder, then for who
 * gets it.
 */
export const toggleFloor = (sessionId: string, memberId: number): ApiCommand =>
  inRoom(sessionId, 'floor', whom(memberId));
/**
 * Keeps the video there whoever speaks. Said again for who has it by force, it lets go of it: clearVideoFloor() goes
 * before it. Who has no video gets `-ERR no reply`.
 */
export const forceVideoFloor = (sessionId: string, memberId: number): ApiCommand =>
  inRoom(sessionId, 'vid-floor', whom(memberId), 'force');
/** The video follows the voices again; it stays where it is until then. */
export const clearVideoFloor = (sessionId: string): ApiCommand => inRoom(sessionId, 'clear-vid-floor');

/**
 * `name` of a layout, or `group:NAME`. No event tells of it. `+OK … [NAME]` is what there is to go by: an unknown group
 * is answered with `+OK … []`.
 */
export const setLayout = (sessionId: string, name: string): ApiCommand =>
  inRoom(sessionId, 'vid-layout', name.startsWith('group:') ? `group:${token(name.slice(6))}` : token(name));
const token = (name: string): string => assertToken(name, 'layout');

export const lockRoom = (sessionId: string, locked: boolean): ApiCommand =>
  inRoom(sessionId, locked ? 'lock' : 'unlock');

/** From -4 to 4. */
export const setVolume = (sessionId: string, memberId: number, which: 'in' | 'out', level: number): ApiCommand =>
  inRoom(sessionId, `volume_${which}`, whom(memberId), wholeNumber(level, -4, 4, 'volume'));
/** A layer of the layout, counted from 1. One that the layout has not becomes 1; `+OK layer N` says which it is. */
export const setLayer = (sessionId: string, memberId: number, layer: number): ApiCommand =>
  inRoom(sessionId, 'vid-layer', whom(memberId), wholeNumber(layer, 1, 99, 'layer'));
/** A place that the layout keeps under a name; null gives it back. */
export const setReservation = (sessionId: string, memberId: number, name: string | null): ApiCommand =>
  // Without `force` the same name said again would give the place back.
  inRoom(sessionId, 'vid-res-id', whom(memberId), ...(name === null ? ['clear'] : [reservation(name), 'force']));
const reservation = (name: string): string => assertToken(name, 'reservation');
/** Text under the video; null takes it away. FreeSWITCH takes one word there and decodes its percent signs. */
export const setBanner = (sessionId: string, memberId: number, text: string | null): ApiCommand =>
  inRoom(
    sessionId,
    'vid-banner',
    whom(memberId),
    text === null || text === '' ? 'clear' : encodeURIComponent(inertText(text, 'banner')).replace(/'/g, '%27'),
  );
/** Each is an encoder beside that of the room, and stays until the room ends; a node has room for 50 (MAX_MUX_CODECS). */
const VIDEO_STEPS_KBPS = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16_384];
/**
 * What one member of a mixed room is sent at most, in kilobit a second: they share an encoder with all who have the same
 * step. null: the room's. `uuid_video_bandwidth` is answered +OK and changes nothing for those who share one (1.10.12).
 */
export function limitVideo(sessionId: string, memberId: number, kbps: number | null): ApiCommand[] {
  const step = kbps === null ? undefined : (VIDEO_STEPS_KBPS.findLast((one) => one <= kbps) ?? VIDEO_STEPS_KBPS[0]);
  if (step === undefined) return [inRoom(sessionId, 'vid-codec-group', whom(memberId), 'clear')];
  // The encoder is made with the next video, and looks for its rate in this variable of the room.
  return [
    inRoom(sessionId, 'setvar', `group-k${step}`, `${step}kb`),
    inRoom(sessionId, 'vid-codec-group', whom(memberId), `k${step}`),
  ];
}
export const setFrameRate = (sessionId: string, fps: number): ApiCommand =>
  inRoom(sessionId, 'vid-fps', wholeNumber(fps, 1, 60, 'fps'));
export const setCanvasSize = (sessionId: string, width: number, height: number): ApiCommand =>
  inRoom(sessionId, 'vid-res', `${wholeNumber(width, 64, 4096, 'width')}x${wholeNumber(height, 64, 4096, 'height')}`);

/** What is played when somebody enters or leaves; null: nothing. */
export const setEntrySound = (sessionId: string, which: 'enter' | 'exit', source: string | null): ApiCommand[] =>
  source === null
    ? [inRoom(sessionId, `${which}_sound`, 'off')]
    : [inRoom(sessionId, `${which}_sound`, 'file', path(source)), inRoom(sessionId, `${which}_sound`, 'on')];
/**
 * What who is alone hears. `moh off` would last only until the second member enters (conference_member_add clears it),
 * so quiet is a source as well.
 */
export const setMusic = (sessionId: string, source: string): ApiCommand => inRoom(sessionId, 'moh', path(source));

/**
 * Plays to all, or to one, after what is playing. The answer says whether there is such a file; `play-file` comes even
 * where there is none. `say:…` played to one member ends a node without a voice (mod_conference reads a file it never
 * opened): soundSource() refuses it.
 */
export function playInRoom(sessionId: string, source: string, memberId?: number): ApiCommand {
  return inRoom(sessionId, 'play', soundSource(source), ...(memberId === undefined ? [] : [whom(memberId)]));
}
/** Stops what plays for all, or for one. */
export const stopPlayingInRoom = (sessionId: string, memberId?: number): ApiCommand =>
  inRoom(sessionId, 'stop', 'all', ...(memberId === undefined ? [] : [whom(memberId)]));
/**
 * Spoken by the node, where it has a voice (the profile's tts-engine, and its module). The rest of the line is the text;
 * one that begins with `#` would choose another voice. Without a voice "all" is refused, and "one" is answered `+OK`.
 */
export function sayInRoom(sessionId: string, text: string, memberId?: number): ApiCommand {
  const spoken = inertText(text, 'text').replace(/^[\s#]+/, '');
  if (spoken === '') throw new SwitchyardError('invalid_request', 'There is nothing to say.');
  return memberId === undefined
    ? inRoom(sessionId, 'say', spoken)
    : inRoom(sessionId, 'saymember', whom(memberId), spoken);
}

/** Writes the mixed video into a file of the node. */
export const writeSnapshot = (sessionId: string, file: string): ApiCommand =>
  inRoom(sessionId, 'vid-write-png', path(file));

export type RecordingStep = 'start' | 'stop' | 'pause' | 'resume' | 'check';

/**
 * Records into a file, or sends to an RTMP address. `+OK` says only that a thread was started: what is true is the
 * event `start-recording` and the check.
 */
export const recordRoom = (sessionId: string, step: RecordingStep, target: string): ApiCommand =>
  inRoom(sessionId, 'recording', step, path(target));
