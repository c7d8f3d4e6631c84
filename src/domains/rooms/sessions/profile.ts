/** Turns a room's settings into what a node is told when the room starts. */
import { layoutsConfName, playable, ROOM_BASE, type ProfileParams } from '../../../freeswitch/xml';
import { isMixed, type RoomSettings, type SoundName } from '../settings';

/**
 * The params of the profile `room`. Who may enter, how many, and with which PIN is decided before the node is asked to
 * let somebody in: the node knows neither limit nor PIN.
 * @param session its layout is what is desired before that of the room's settings
 */
export function roomProfile(settings: RoomSettings, session: { id: string; layout: string | null }): ProfileParams {
  const { sounds, video } = settings;
  return {
    ...ROOM_BASE,
    'conference-flags': flags(settings),
    ...sound('enter-sound', sounds.entry),
    ...sound('exit-sound', sounds.exit),
    // Without a sound for being alone FreeSWITCH speaks a sentence of its own, in English.
    'alone-sound': playable('silence'),
    ...(settings.musicWhileAlone ? { 'moh-sound': playable('music') } : {}),
    ...(isMixed(settings)
      ? {
          'video-mode': 'mux',
          'video-layout-conf': layoutsConfName(session.id),
          'video-layout-name': session.layout ?? settings.layout,
          'video-canvas-size': `${video.width}x${video.height}`,
          'video-canvas-bgcolor': settings.background.color,
          'video-letterbox-bgcolor': settings.background.color,
          'video-codec-bandwidth': `${video.maxKbps}kb`,
          'video-fps': video.fps,
          'video-auto-floor-msec': 2000,
        }
      : { 'video-mode': 'passthrough' }),
  };
}

function flags(settings: RoomSettings): string {
  const names = ['livearray-json-status', 'json-events', 'video-floor-only'];
  if (isMixed(settings)) names.push('minimize-video-encoding');
  if (settings.waitForModerator) names.push('wait-mod');
  return names.join('|');
}

function sound(name: string, what: SoundName): ProfileParams {
  return what === 'none' ? {} : { [name]: playable(what) };
}
