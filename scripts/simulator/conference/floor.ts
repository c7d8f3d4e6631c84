/** Who has the floor of a room: FreeSWITCH gives it to the newest where nobody has it, and to who speaks. */
import type { NodeContext } from '../node-context';
import { hasVideo, memberOf, type Member, type Room } from './room';
import { sendFloorEvent, sendVideoFloorEvent } from './events';

/** A frame of sound: so often mod_conference looks who speaks. */
const FRAME_MS = 20;

/** @param m undefined takes the floor from whoever has it */
export function setFloor(node: NodeContext, room: Room, m: Member | undefined): void {
  const old = room.floor;
  if (m && old === m.id) return;
  room.floor = m?.id ?? 0;
  // One who is no longer in the list is told as "none".
  sendFloorEvent(node, room, memberOf(room, old) ? old : 0, m);
  if (m && room.canvas && hasVideo(m.channel)) setVideoFloor(node, room, m, false);
  if (!m) node.later(FRAME_MS, () => fillFloor(node, room));
}

/** Gives a floor nobody has to the newest. */
export function fillFloor(node: NodeContext, room: Room): void {
  if (room.floor > 0 || room.ending) return;
  const next = room.members[0];
  if (next) setFloor(node, room, next);
}

/** @param force also where the video floor was fixed */
export function setVideoFloor(node: NodeContext, room: Room, m: Member | undefined, force: boolean): void {
  if (!m) room.videoFloorLocked = false;
  if ((!force && room.videoFloorLocked) || (m && room.videoFloor === m.id)) return;
  const next = m ?? room.members.find((x) => x.id !== room.videoFloor && hasVideo(x.channel));
  const old = room.videoFloor;
  room.videoFloor = next?.id ?? 0;
  sendVideoFloorEvent(node, room, old);
}

/** After somebody entered, or left. */
export function findVideoFloor(node: NodeContext, room: Room): void {
  if (memberOf(room, room.videoFloor)) return;
  const next = room.members.find((m) => hasVideo(m.channel));
  if (next) {
    room.videoFloor = 0;
    setVideoFloor(node, room, next, false);
  }
}

/** Somebody begins to speak: the floor is theirs where its holder is silent. */
export function claimFloorBySpeaking(node: NodeContext, room: Room, m: Member): void {
  if (room.floor === m.id || memberOf(room, room.floor)?.talking) return;
  setFloor(node, room, m);
}
