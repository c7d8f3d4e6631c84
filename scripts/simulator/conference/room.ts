/** What a simulated node keeps of one room (FreeSWITCH: conference) and of those who are in it. */
import type { Channel } from '../channels/channel';

/** One channel in a room, as mod_conference's member flags have it. */
export interface Member {
  id: number;
  channel: Channel;
  joinedMs: number;
  canSpeak: boolean;
  canHear: boolean;
  /** What `vmute` takes away; FreeSWITCH's list of rooms does not tell it. */
  canBeSeen: boolean;
  canSee: boolean;
  onHold: boolean;
  talking: boolean;
  moderator: boolean;
  ghost: boolean;
  endsRoom: boolean;
  mandatory: boolean;
  flags: ReadonlySet<string>;
  energyLevel: number;
  volumeIn: number;
  volumeOut: number;
  layer: number;
  reservation?: string;
  /** Members of one group are sent the same video by an encoder of their own. */
  codecGroup?: string;
  banner?: string;
  lastTalkedMs: number;
  /** Ends the stay; the channel goes on with its plan. */
  leave: () => void;
  /** Stops the timers that belong to the stay. */
  onLeave: (() => void)[];
}

/** A file or an address the room is written to. */
export interface Recording {
  /** As it was asked for. */
  asked: string;
  /** With the parameters FreeSWITCH puts before it where the room has video. */
  path: string;
  startedMs: number;
  paused: boolean;
  /** It is open; before that FreeSWITCH does not find it to stop it. */
  running: boolean;
  /** `recording check` knows it. */
  listed: boolean;
  pause: (paused: boolean) => void;
  stop: () => void;
}

export interface Canvas {
  width: number;
  height: number;
  layout: string;
  group?: string;
  fps: number;
  /** How many places each has. */
  layouts: ReadonlyMap<string, number>;
  groups: ReadonlySet<string>;
}

export interface Room {
  name: string;
  uuid: string;
  profileName: string;
  profile: Readonly<Record<string, string>>;
  flags: ReadonlySet<string>;
  domain: string;
  startedMs: number;
  /** The newest first, as FreeSWITCH lists them. */
  members: Member[];
  recordings: Recording[];
  locked: boolean;
  waitsForModerator: boolean;
  /** It ends; nobody finds it any more. */
  ending: boolean;
  maxMembers: number;
  endGraceSeconds: number;
  floor: number;
  videoFloor: number;
  videoFloorLocked: boolean;
  canvas?: Canvas;
  variables: Map<string, string>;
  pin: string;
  entrySounds: Record<'enter' | 'exit', { file: string; on: boolean }>;
  /** Set while it runs; the profile's otherwise. */
  music?: string;
  /** Out of the list already, still counted. */
  leaving: number;
  callerIdName: string;
  callerIdNumber: string;
  soundPrefix: string;
  /** What plays to all, and beside it. */
  playing: Sound[];
  background?: Sound;
  playingTo: Map<number, Sound[]>;
}

/** A file, tone or text that plays. */
export interface Sound {
  file: string;
  async: boolean;
  speech: boolean;
  memberId: number;
  startedMs: number;
  paused: boolean;
  durationMs: number;
  stopTimer: () => void;
}

/** Counted as FreeSWITCH counts: ghosts apart. */
export const sizeOf = (room: Room): number => room.members.reduce((n, m) => n + (m.ghost ? 0 : 1), room.leaving);
export const ghostsOf = (room: Room): number => room.members.reduce((n, m) => n + (m.ghost ? 1 : 0), 0);
export const memberOf = (room: Room, id: number): Member | undefined => room.members.find((m) => m.id === id);

export interface EnterData {
  name: string;
  profile: string;
  pin: string;
  flags: string[];
}

/** Reads `NAME[@PROFILE][+PIN][+flags{a|b}]`, as the application does. */
export function parseEnterData(data: string, extraFlags: string): EnterData {
  const at = data.indexOf('+flags{');
  const rest = at < 0 ? data : data.slice(0, at);
  const inside = at < 0 ? '' : (/^[^}]*/.exec(data.slice(at + 7))?.[0] ?? '');
  const [head = '', pin = ''] = rest.trimStart().split(/\+(.*)/s);
  const split = head.lastIndexOf('@');
  return {
    name: split < 0 ? head : head.slice(0, split),
    profile: split < 0 ? 'default' : head.slice(split + 1),
    pin,
    flags: splitFlags(`${inside}|${extraFlags}`),
  };
}

export const splitFlags = (text: string): string[] =>
  text
    .split('|')
    .map((flag) => flag.trim().toLowerCase())
    .filter(Boolean);

export function newMember(id: number, channel: Channel, flags: ReadonlySet<string>, profile: Room['profile']): Member {
  return {
    id,
    channel,
    joinedMs: 0,
    canSpeak: !flags.has('mute') && !flags.has('second-screen'),
    canHear: !flags.has('deaf'),
    canBeSeen: !flags.has('vmute'),
    canSee: !flags.has('blind'),
    onHold: false,
    talking: false,
    moderator: flags.has('moderator'),
    ghost: flags.has('ghost'),
    endsRoom: flags.has('endconf'),
    mandatory: flags.has('mandatory_member_endconf'),
    flags,
    energyLevel: Number(profile['energy-level']) || 0,
    volumeIn: levelOf(channel, 'conference_join_volume_in'),
    volumeOut: levelOf(channel, 'conference_join_volume_out'),
    layer: 0,
    reservation: channel.variables.get('video_reservation_id'),
    lastTalkedMs: 0,
    leave: () => undefined,
    onLeave: [],
  };
}

function levelOf(channel: Channel, variable: string): number {
  const level = Number(channel.variables.get(variable) ?? 0);
  return level > -5 && level < 5 ? level : 0;
}

/** Whether the channel has video: the phone has it, and the plan did not take it away. */
export function hasVideo(channel: Channel): boolean {
  const codecs = channel.variables.get('absolute_codec_string');
  return channel.hasVideo && (codecs === undefined || /VP8|VP9|H264/i.test(codecs));
}
