/** Tells what happens in a room, with the headers mod_conference writes and in its order. */
import type { EventBody, NodeContext } from '../node-context';
import type { Channel } from '../channels/channel';
import { ghostsOf, hasVideo, sizeOf, type Member, type Room } from './room';

const SUBCLASS = 'conference::maintenance';

function roomData(room: Room): EventBody {
  return {
    'Conference-Name': room.name,
    'Conference-Domain': room.domain,
    'Conference-Size': String(sizeOf(room)),
    'Conference-Ghosts': String(ghostsOf(room)),
    'Conference-Profile-Name': room.profileName,
    'Conference-Unique-ID': room.uuid,
    ...Object.fromEntries(room.variables),
  };
}

function memberData(room: Room, m: Member): EventBody {
  return {
    ...roomData(room),
    Floor: String(room.floor === m.id),
    ...m.channel.headers(room.profile['verbose-events'] === 'true'),
    ...(m.channel.cause === undefined ? {} : { 'Hangup-Cause': m.channel.cause }),
    Video: String(hasVideo(m.channel)),
    Hear: String(m.canHear),
    See: String(m.canBeSeen),
    Speak: String(m.canSpeak),
    Talking: String(m.talking),
    'Mute-Detect': String(m.flags.has('mute-detect')),
    Hold: String(m.onHold),
    'Member-ID': String(m.id),
    'Member-Type': m.moderator ? 'moderator' : 'member',
    'Member-Ghost': String(m.ghost),
    'Energy-Level': String(m.energyLevel),
    'Current-Energy': m.talking ? '1200' : '0',
  };
}

/** Something of the whole room. */
export function sendRoomEvent(node: NodeContext, room: Room, action: string, extra: EventBody = {}): void {
  node.emit(
    'CUSTOM',
    'mod_conference.c',
    'conference_event',
    () => ({ ...roomData(room), Action: action, ...extra }),
    SUBCLASS,
  );
}

/** Something of one who is in it. */
export function sendMemberEvent(node: NodeContext, room: Room, m: Member, action: string, extra: EventBody = {}): void {
  node.emit(
    'CUSTOM',
    'conference_member.c',
    'conference_member_event',
    () => ({ ...memberData(room, m), Action: action, ...extra }),
    SUBCLASS,
  );
}

/** The end of a sound: its length stands before its name, and the member between them. */
export function sendSoundEvent(
  node: NodeContext,
  room: Room,
  m: Member | undefined,
  before: EventBody,
  after: EventBody,
): void {
  node.emit(
    'CUSTOM',
    'conference_file.c',
    'conference_file_close',
    () => ({ ...roomData(room), ...before, ...(m ? memberData(room, m) : {}), ...after }),
    SUBCLASS,
  );
}

/** A refusal is told by the channel alone: there is no room. */
export function sendJoinEvent(node: NodeContext, channel: Channel, name: string, profile: string): void {
  node.emit(
    'CUSTOM',
    'mod_conference.c',
    'conference_function',
    () => ({
      ...channel.headers(false),
      'Conference-Name': name,
      'Conference-Profile-Name': profile,
      Action: 'rejected-join-only',
    }),
    SUBCLASS,
  );
}

export function sendFloorEvent(node: NodeContext, room: Room, oldId: number, holder: Member | undefined): void {
  const id = (n: number): string => (n > 0 ? String(n) : 'none');
  node.emit(
    'CUSTOM',
    'conference_member.c',
    'conference_member_set_floor_holder',
    () => ({
      ...roomData(room),
      Action: 'floor-change',
      'Old-ID': id(oldId),
      ...(holder ? memberData(room, holder) : {}),
      'New-ID': id(room.floor),
    }),
    SUBCLASS,
  );
}

export function sendVideoFloorEvent(node: NodeContext, room: Room, oldId: number): void {
  sendRoomEvent(node, room, 'video-floor-change', {
    'Old-ID': oldId > 0 ? String(oldId) : 'none',
    'New-ID': room.videoFloor > 0 ? String(room.videoFloor) : 'none',
  });
}
