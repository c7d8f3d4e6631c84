/** Rooms as a node runs them where nothing else is asked for: mixed picture at 1280x720, wide-band sound. */
import { element, params, type Element } from '../document';
import type { NodeSettings } from './settings';

/** A room's own wishes replace these by name. */
export const DEFAULT_ROOM: Readonly<Record<string, string | number | boolean>> = {
  rate: 48000,
  channels: 1,
  interval: 20,
  'energy-level': 200,
  'comfort-noise': true,
  'caller-controls': 'none',
  'moderator-controls': 'default',
  'conference-flags': 'livearray-json-status|json-events|video-floor-only',
  'video-mode': 'mux',
  'video-layout-name': 'group:grid',
  'video-canvas-size': '1280x720',
  'video-canvas-bgcolor': '#1b2430',
  'video-layout-bgcolor': '#1b2430',
  'video-letterbox-bgcolor': '#1b2430',
  'video-codec-bandwidth': '2mb',
  'video-fps': 25,
  'video-auto-floor-msec': 2000,
};

const KEYS: readonly (readonly [string, string])[] = [
  ['mute', '0'],
  ['deaf mute', '*'],
  ['energy up', '9'],
  ['energy equ', '8'],
  ['energy dn', '7'],
  ['vol talk up', '3'],
  ['vol talk zero', '2'],
  ['vol talk dn', '1'],
  ['vol listen up', '6'],
  ['vol listen zero', '5'],
  ['vol listen dn', '4'],
  ['hangup', '#'],
];

export function conferenceConf(_node: NodeSettings): Element[] {
  return [
    element('advertise'),
    element('caller-controls', {}, [
      element(
        'group',
        { name: 'default' },
        KEYS.map(([action, digits]) => element('control', { action, digits })),
      ),
    ]),
    element('profiles', {}, [element('profile', { name: 'default' }, params({ ...DEFAULT_ROOM }).children!)]),
  ];
}
