/** What the wire contract's little Switchyard answers about rooms: a plan that enters one, and the room's profile. */
import { configurationXml, dialplanXml, notFoundXml, type NodeSettings } from '../../../src/freeswitch/xml';

/** `room.NAME` or `room.NAME.FLAG.FLAG`: enters that room with these flags. Afterwards the plan ends with this cause. */
export const CAUSE_AFTER_ROOM = 'CALL_REJECTED';

/** The profile of a room by its name; a room without one is refused. */
export type RoomProfiles = Map<string, Readonly<Record<string, string>>>;

export const BASE_PROFILE: Readonly<Record<string, string>> = {
  rate: '48000',
  interval: '20',
  'energy-level': '200',
  'comfort-noise': 'true',
  'caller-controls': 'none',
  'conference-flags': 'livearray-json-status|json-events|video-floor-only',
};

/** Mixed video, small so that a node without much power keeps up. */
export const MIXED_PROFILE: Readonly<Record<string, string>> = {
  ...BASE_PROFILE,
  'video-mode': 'mux',
  'video-layout-name': 'group:grid',
  'video-canvas-size': '320x240',
  'video-canvas-bgcolor': '#1b2430',
  'video-layout-bgcolor': '#1b2430',
  'video-codec-bandwidth': '256kb',
  'video-fps': '10',
};

/** @returns the plan, or undefined where the destination is none of ours; `pin.TRIES` takes digits into `pressed` */
export function roomPlan(destination: string): string | undefined {
  const [kind, name, ...flags] = destination.split('.');
  if (kind === 'pin')
    return dialplanXml('users', 'pin', [
      { app: 'answer' },
      {
        app: 'play_and_get_digits',
        data: `0 12 ${name ?? 1} 30000 # silence_stream://100 silence_stream://1 pressed \\d* 20000`,
      },
      { app: 'hangup', data: CAUSE_AFTER_ROOM },
    ]);
  if (kind !== 'room' || !name) return undefined;
  const data = `${name}@room${flags.length > 0 ? `+flags{${flags.join('|')}}` : ''}`;
  return dialplanXml('users', 'room', [
    { app: 'answer' },
    { app: 'conference', data },
    { app: 'set', data: 'after_room=yes' },
    { app: 'hangup', data: CAUSE_AFTER_ROOM },
  ]);
}

/** Answers conference.conf for one room, and the layouts as Switchyard has them. */
export function roomConfiguration(
  name: string,
  conferenceName: string | undefined,
  profiles: RoomProfiles,
  settings: NodeSettings,
): string | undefined {
  if (name !== 'conference.conf' || conferenceName === undefined) return undefined;
  const profile = profiles.get(conferenceName);
  if (!profile) return notFoundXml();
  const params = Object.entries(profile).map(([k, v]) => `<param name="${k}" value="${v}"/>`);
  const base = configurationXml(name, settings) ?? '';
  return base.replace('<profiles>', `<profiles><profile name="room">${params.join('')}</profile>`);
}
