/** People for the contract's rooms: a call of the node to itself whose second half enters, silent or speaking. */
import type { RawEvent } from './raw-client';
import type { NodeUnderTest } from '../describe-node';

/** Heard without a pause for as long as a test may take. */
const VOICE = '&playback(tone_stream://%(20000,0,440))';

export interface Guest {
  /** The channel outside of the room; killing it ends the stay. */
  outside: string;
  /** The channel in the room. */
  legId: string;
  memberId: number;
  entered: RawEvent;
}

export const isRoomEvent = (e: RawEvent, room: string, action: string): boolean =>
  e['Event-Subclass'] === 'conference::maintenance' && e['Conference-Name'] === room && e.Action === action;

/** Somebody enters; waits until the node tells. @param flags member flags, with a dot before each */
export async function enter(nodeUnderTest: NodeUnderTest, room: string, flags = '', speaking = false): Promise<Guest> {
  const outside = `${room}-${nodeUnderTest.client.events.length}`;
  const known = new Set(nodeUnderTest.client.events.filter((e) => isRoomEvent(e, room, 'add-member')));
  await nodeUnderTest.client.send(
    `bgapi originate {origination_uuid=${outside}}loopback/room.${room}${flags}/users ${speaking ? VOICE : '&park()'}`,
  );
  const entered = await nodeUnderTest.client.waitFor((e) => isRoomEvent(e, room, 'add-member') && !known.has(e));
  return { outside, legId: entered['Unique-ID']!, memberId: Number(entered['Member-ID']), entered };
}

/** Tries to enter where that is not allowed. @returns how the channel that tried ended */
export async function tryToEnter(nodeUnderTest: NodeUnderTest, room: string, variables = ''): Promise<RawEvent> {
  const outside = `${room}-${nodeUnderTest.client.events.length}`;
  await nodeUnderTest.client.send(
    `bgapi originate {origination_uuid=${outside}${variables}}loopback/room.${room}/users &park()`,
  );
  return nodeUnderTest.client.waitFor(
    (e) =>
      e['Event-Name'] === 'CHANNEL_HANGUP_COMPLETE' &&
      e['Channel-Name'] === `loopback/room.${room}-b` &&
      e.variable_after_room === 'yes',
  );
}

/** The answer to a command on a room. */
export async function tell(nodeUnderTest: NodeUnderTest, line: string): Promise<string> {
  return (await nodeUnderTest.client.send(`api conference ${line}`)).body;
}

/** Everybody out, and the room is over. */
export async function closeRoom(nodeUnderTest: NodeUnderTest, room: string): Promise<void> {
  await tell(nodeUnderTest, `${room} hup all`);
  await nodeUnderTest.client.waitFor((e) => isRoomEvent(e, room, 'conference-destroy'));
}
