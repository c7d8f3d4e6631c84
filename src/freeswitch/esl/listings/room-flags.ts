/** Reads what a node lists of floors and reserved places (`conference list`): its JSON leaves them out. */

/** One member, by its number in the room. */
export interface MemberFlags {
  memberId: number;
  floor: boolean;
  videoFloor: boolean;
  /** The place of the layout that is kept for it. */
  reservation: string | null;
}

export interface RoomFlags {
  /** The session's id, where the room is ours. */
  name: string;
  /** The video stays with who has the video floor; undefined where one room was asked for: it is not told there. */
  videoFloorHeld?: boolean;
  members: MemberFlags[];
}

const ROOM = /^(?:\+OK )?Conference (\S+) \(.*flags: (\S*)\)\s*$/;

/**
 * A member's line is `number;channel;uuid;name;caller;flags;in;out;energy`. Names may hold anything, a semicolon too:
 * it is read from both ends.
 * @param only the room that was asked for, whose members come without a line of its own
 */
export function parseRoomFlags(reply: string, only?: string): RoomFlags[] {
  const rooms: RoomFlags[] = only === undefined ? [] : [{ name: only, members: [] }];
  for (const line of reply.split('\n')) {
    const room = ROOM.exec(line);
    if (room && only === undefined) {
      rooms.push({ name: room[1]!, videoFloorHeld: room[2]!.split('|').includes('video_floor_lock'), members: [] });
      continue;
    }
    const fields = line.trim().split(';');
    const memberId = Number(fields[0]);
    if (fields.length < 9 || !Number.isInteger(memberId) || memberId < 1) continue;
    const flags = fields.at(-4)!.split('|');
    rooms.at(-1)?.members.push({
      memberId,
      floor: flags.includes('floor'),
      videoFloor: flags.includes('vid-floor'),
      reservation: flags.find((f) => f.startsWith('res-id:'))?.slice(7) ?? null,
    });
  }
  return rooms;
}
