/** Rooms as a node runs them: a profile of its own for each room that starts, and a plain one where nothing is asked. */
import { element, params, type Element } from '../document';
import type { CustomLayout } from './layouts';
import type { NodeSettings } from './settings';

export type ProfileParams = Readonly<Record<string, string | number | boolean>>;

/** What a node is told of one room, when it starts and for each member that enters. */
export interface RoomConfiguration {
  /** The params of the profile `room`. */
  profile: ProfileParams;
  /** Layouts of the room's domain, beside those that every room has. */
  layouts?: readonly CustomLayout[];
  /** Where its images lie on the node: named after the session. */
  images?: { sessionId: string; hasBackground: boolean };
}

/**
 * What every room's profile has: wide-band sound, no keys (a key that mutes would be undone by who keeps the desired
 * state), and a voice, which is silent on a node without mod_flite.
 */
export const ROOM_BASE: ProfileParams = {
  rate: 48000,
  channels: 1,
  interval: 20,
  'energy-level': 200,
  'comfort-noise': true,
  'caller-controls': 'none',
  'moderator-controls': 'none',
  'tts-engine': 'flite',
  'tts-voice': 'slt',
};

/** A node's answer where no room of ours is named. */
const DEFAULT_ROOM: ProfileParams = {
  ...ROOM_BASE,
  'conference-flags': 'livearray-json-status|json-events|video-floor-only',
  'video-mode': 'mux',
  'video-layout-name': 'group:grid',
  'video-canvas-size': '1280x720',
  'video-canvas-bgcolor': '#1b2430',
  'video-letterbox-bgcolor': '#1b2430',
  'video-codec-bandwidth': '2mb',
  'video-fps': 25,
  'video-auto-floor-msec': 2000,
};

export type RoomTone = 'silence' | 'chime' | 'beep' | 'knock' | 'music';

/** Made by mod_tone_stream from what stands here: duration and pause in ms, then frequencies; `v` is dB. */
const TONES: Record<RoomTone, string> = {
  silence: 'silence_stream://20',
  chime: 'tone_stream://v=-20;%(120,20,784);%(220,0,1047)',
  beep: 'tone_stream://v=-20;%(200,0,880)',
  knock: 'tone_stream://v=-14;%(60,90,180,240);%(60,0,180,240)',
  music:
    'tone_stream://v=-32;%(900,300,262,330);%(900,300,294,349);%(900,300,330,392);%(900,300,294,349);' +
    '%(900,300,262,392);%(900,300,247,294);%(1800,2400,262,330);loops=-1',
};

/** Something a node can play without any file. */
export const playable = (tone: RoomTone): string => TONES[tone];

export function conferenceConf(_node: NodeSettings, room?: RoomConfiguration): Element[] {
  const profiles = room
    ? [element('profile', { name: 'room' }, params({ ...room.profile }).children!)]
    : [element('profile', { name: 'default' }, params({ ...DEFAULT_ROOM }).children!)];
  return [element('advertise'), element('caller-controls'), element('profiles', {}, profiles)];
}
