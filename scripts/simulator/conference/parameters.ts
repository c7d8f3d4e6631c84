/** What `conference NAME get` and `set` know. */
import type { NodeContext } from '../node-context';
import { ghostsOf, sizeOf, type Room } from './room';

export const GET: Readonly<Record<string, (node: NodeContext, room: Room) => string>> = {
  run_time: (node, room) => String(Math.floor((node.clock() - room.startedMs) / 1000)),
  count: (_core, room) => String(sizeOf(room)),
  count_ghosts: (_core, room) => String(ghostsOf(room)),
  max_members: (_core, room) => String(room.maxMembers),
  rate: (_core, room) => String(Number(room.profile.rate) || 8000),
  profile_name: (_core, room) => room.profileName,
  sound_prefix: (_core, room) => room.soundPrefix,
  caller_id_name: (_core, room) => room.callerIdName,
  caller_id_number: (_core, room) => room.callerIdNumber,
  is_locked: (_core, room) => (room.locked ? 'locked' : ''),
  endconference_grace_time: (_core, room) => String(room.endGraceSeconds),
  uuid: (_core, room) => room.uuid,
  wait_mod: (_core, room) => (room.waitsForModerator ? 'true' : ''),
};

/** Each answers with what was there before; undefined refuses. */
export const SET: Readonly<Record<string, (room: Room, value: string) => string | undefined>> = {
  max_members: (room, value) => replaceCount(room, 'maxMembers', value),
  endconference_grace_time: (room, value) => replaceCount(room, 'endGraceSeconds', value),
  sound_prefix: (room, value) => replaceText(room, 'soundPrefix', value),
  caller_id_name: (room, value) => replaceText(room, 'callerIdName', value),
  caller_id_number: (room, value) => replaceText(room, 'callerIdNumber', value),
};

function replaceCount(room: Room, field: 'maxMembers' | 'endGraceSeconds', value: string): string | undefined {
  const next = Number.parseInt(value, 10) || 0;
  if (next < 0) return undefined;
  const before = room[field];
  room[field] = next;
  return String(before);
}

function replaceText(room: Room, field: 'soundPrefix' | 'callerIdName' | 'callerIdNumber', value: string): string {
  const before = room[field];
  room[field] = value;
  return before;
}
