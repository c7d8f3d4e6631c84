/** What a command on a simulated room is given, and what it answers. */
import type { NodeContext } from '../../node-context';
import type { Member, Room } from '../room';
import type { Rooms } from '../rooms';

/** What a command on a room may use. */
export interface RoomDesk {
  node: NodeContext;
  rooms: Rooms;
  /** Sends a channel that is in a room into another. */
  transfer: (m: Member, application: string) => void;
  /** Dials somebody into a room, in the background. */
  dial: (room: Room | undefined, name: string, words: string[]) => void;
}

/** Answers; undefined shows the command's usage behind what it said. */
export interface CommandAnswer {
  text: string;
  usage?: boolean;
}

export interface RoomCommand {
  usage: string;
  /** @param text what stands behind the command, as it came */
  run: (desk: RoomDesk, room: Room, words: string[], text: string) => CommandAnswer;
}
