/** Which changed settings a running room takes at once, and with which commands; the others wait for the next session. */
import {
  lockRoom,
  setCanvasSize,
  setEntrySound,
  setFrameRate,
  setLayout,
  setMusic,
  type ApiCommand,
} from '../../../freeswitch/esl';
import { playable } from '../../../freeswitch/xml';
import { isMixed, type RoomSettings, type SoundName } from '../settings';

/** Looked at by Switchyard whenever somebody enters or leaves, so that they count from the next who does. */
const AT_THE_DOOR = new Set(['maxParticipants', 'mutedOnEntry', 'endWithModerator', 'video.participantKbps']);

export interface LiveChange {
  /** Dotted names (`video.fps`) that these commands bring about. */
  settings: string[];
  commands: ApiCommand[];
}

export interface LivePlan {
  changes: LiveChange[];
  /** Dotted names that wait for the next session. */
  pending: string[];
}

/**
 * @param running the settings the session was started with
 * @param wanted the room's settings now
 * @param changed dotted names of what differs
 */
export function planLiveChanges(
  sessionId: string,
  running: RoomSettings,
  wanted: RoomSettings,
  changed: readonly string[],
): LivePlan {
  const left = new Set(changed.filter((name) => !AT_THE_DOOR.has(name)));
  const changes: LiveChange[] = [];
  const take = (names: string[], commands: ApiCommand[]): void => {
    const settings = names.filter((name) => left.delete(name));
    if (settings.length > 0) changes.push({ settings, commands });
  };
  take(['locked'], [lockRoom(sessionId, wanted.locked)]);
  take(['sounds.entry'], setEntrySound(sessionId, 'enter', source(wanted.sounds.entry)));
  take(['sounds.exit'], setEntrySound(sessionId, 'exit', source(wanted.sounds.exit)));
  take(['musicWhileAlone'], [setMusic(sessionId, playable(wanted.musicWhileAlone ? 'music' : 'silence'))]);
  if (isMixed(running) && isMixed(wanted)) {
    const { width, height, fps } = wanted.video;
    take(['video.width', 'video.height'], [setCanvasSize(sessionId, width, height)]);
    take(['layout'], [setLayout(sessionId, wanted.layout)]);
    take(['video.fps'], [setFrameRate(sessionId, fps)]);
    // video.maxKbps waits: `vid-bandwidth` leaves the encoder that all share as it is (1.10.12).
  }
  return { changes, pending: [...left] };
}

const source = (sound: SoundName): string | null => (sound === 'none' ? null : playable(sound));
