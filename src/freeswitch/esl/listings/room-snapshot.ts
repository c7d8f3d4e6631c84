/** Reads a node's list of rooms (`conference json_list`): what is true of each room and its members right now. */
import { EslError } from '../connection/faults';

/** One member as the node has it. */
export interface RoomMember {
  memberId: number;
  legId: string;
  name: string;
  number: string;
  joinedSecondsAgo: number;
  muted: boolean;
  deaf: boolean;
  talking: boolean;
  hasVideo: boolean;
  hasFloor: boolean;
  moderator: boolean;
  volumeIn: number;
  volumeOut: number;
}

/** A file or an RTMP address the room is written to. */
export interface RoomRecording {
  /** As it was asked for, without parameters in front. */
  path: string;
  paused: boolean;
}

export interface RoomSnapshot {
  /** The session's id, where the room is ours. */
  name: string;
  conferenceUuid: string;
  locked: boolean;
  runSeconds: number;
  members: RoomMember[];
  recordings: RoomRecording[];
}

type Row = Record<string, unknown>;
const isRow = (value: unknown): value is Row => typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (row: Row, name: string): string => (typeof row[name] === 'string' ? row[name] : '');
const count = (row: Row, name: string): number => {
  const n = typeof row[name] === 'object' ? NaN : Number(row[name]);
  return Number.isFinite(n) ? n : 0;
};

/** @returns none where the node has none: it says so in words, not in JSON. @throws EslError bad_reply */
export function parseRooms(reply: string): RoomSnapshot[] {
  if (!/^\s*\[/.test(reply)) {
    if (/not found|no active conferences/i.test(reply)) return [];
    throw new EslError('bad_reply', 'The list of rooms came as something that is not JSON');
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(reply);
  } catch (cause) {
    throw new EslError('bad_reply', 'The list of rooms came as something that is not JSON', { cause });
  }
  return (parsed as unknown[]).filter(isRow).map(readRoom);
}

function readRoom(row: Row): RoomSnapshot {
  const nodes = Array.isArray(row.members) ? row.members.filter(isRow) : [];
  return {
    name: text(row, 'conference_name'),
    conferenceUuid: text(row, 'conference_uuid'),
    locked: row.locked === true,
    runSeconds: count(row, 'run_time'),
    members: nodes.filter((n) => n.type === 'caller').map(readMember),
    recordings: nodes
      .filter((n) => n.type === 'recording_node')
      .map((n) => ({ path: text(n, 'record_path').replace(/^\{[^}]*\}/, ''), paused: n.status === 'paused' })),
  };
}

function readMember(row: Row): RoomMember {
  const flags = isRow(row.flags) ? row.flags : {};
  return {
    memberId: count(row, 'id'),
    legId: text(row, 'uuid'),
    name: text(row, 'caller_id_name'),
    number: text(row, 'caller_id_number'),
    joinedSecondsAgo: count(row, 'join_time'),
    muted: flags.can_speak === false,
    deaf: flags.can_hear === false,
    talking: flags.talking === true,
    hasVideo: flags.has_video === true,
    hasFloor: flags.has_floor === true,
    moderator: flags.is_moderator === true,
    volumeIn: count(row, 'volume_in'),
    volumeOut: count(row, 'volume_out'),
  };
}
