/** What a node is asked about recordings: which files it writes, where it puts them, how large they are. */
import { posix } from 'node:path';
import { SwitchyardError } from '../../../errors';
import {
  askFreeSpace,
  listLegRecordings,
  listRoom,
  parseFreeBytes,
  parseRooms,
  parseSizes,
  readGlobal,
  readLegRecordings,
  recordRoom,
  startLegRecording,
  stopLegRecording,
  weighFiles,
  type ApiCommand,
  type Reply,
} from '../../../freeswitch/esl';
import type { PartRow } from '../parts.store';
import type { RecordingFormat } from '../recordings.store';
import { ID_PATTERN } from '../../../infra/ids';

/** Sends one command to the node a file is on. */
export type Ask = (command: ApiCommand) => Promise<Reply>;

const PATH = new RegExp(`(${ID_PATTERN})\\.(?:mp4|wav)$`);

/** The part a file belongs to; undefined for a file that is not named as ours are. */
export const partIdOf = (path: string | undefined): string | undefined => PATH.exec(path ?? '')?.[1];

/** Every file has a name of our own making in the node's folder for recordings. @throws node_error */
export async function choosePath(ask: Ask, partId: string, format: RecordingFormat): Promise<string> {
  const reply = await ask(readGlobal('recordings_dir'));
  const folder = reply.text.trim();
  if (!reply.ok || !/^\/[A-Za-z0-9/_. -]{1,400}$/.test(folder)) {
    throw new SwitchyardError('node_error', 'The node has no recordings_dir.');
  }
  return posix.join(folder, `${partId}.${format}`);
}

/** `+OK` says nothing: the event `start-recording` or RECORD_START does. */
export function tellStart(ask: Ask, part: PartRow): Promise<Reply> {
  return ask(
    part.session_id ? recordRoom(part.session_id, 'start', part.path) : startLegRecording(part.leg_id!, part.path),
  );
}

export function tellStop(ask: Ask, part: PartRow): Promise<Reply> {
  return ask(
    part.session_id ? recordRoom(part.session_id, 'stop', part.path) : stopLegRecording(part.leg_id!, part.path),
  );
}

/**
 * Whether the node writes the file right now. (`recording check` does not know: when one of several recordings of a
 * room ends, FreeSWITCH 1.10.12 takes those begun after it from that list. The list of members is right.)
 */
export async function isWritten(ask: Ask, part: PartRow): Promise<boolean> {
  if (!part.session_id) {
    const reply = await ask(listLegRecordings(part.leg_id!));
    return reply.ok && readLegRecordings(reply.text).includes(part.path);
  }
  const reply = await ask(listRoom(part.session_id));
  if (!reply.ok) return false;
  return parseRooms(reply.text).some((room) => room.recordings.some((r) => r.path === part.path));
}

const AT_ONCE = 40;

/** @returns path → bytes, for those that are there */
export async function weigh(ask: Ask, paths: readonly string[]): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (let from = 0; from < paths.length; from += AT_ONCE) {
    const reply = await ask(weighFiles(paths.slice(from, from + AT_ONCE)));
    if (reply.ok) for (const [path, bytes] of parseSizes(reply.text)) sizes.set(path, bytes);
  }
  return sizes;
}

/** A disk with less than this left is called full: a minute of video would not fit. */
const FULL_BELOW_BYTES = 16_000_000;

/** @returns why nothing can be written there, where that is why */
export async function explainStandstill(ask: Ask, path: string): Promise<string | undefined> {
  const reply = await ask(askFreeSpace(posix.dirname(path)));
  const free = reply.ok ? parseFreeBytes(reply.text) : undefined;
  return free !== undefined && free < FULL_BELOW_BYTES ? `disk_full: ${free} bytes are left on the node` : undefined;
}
