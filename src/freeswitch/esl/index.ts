/** What others may use of the Event Socket. */
export * from './commands/commands';
export { hangupLegs } from './commands/hang-up-legs';
export { openConnection, type ConnectOptions, type NodeConnection } from './connection/connection';
export {
  assertEndpoint,
  assertHost,
  assertSafe,
  assertToken,
  escapeArgument,
  escapeVariableValue,
  inertText,
} from './escape';
export { isPhoneLost } from './events/phone-lost';
export * from './events/events';
export * from './commands/file-commands';
export { EslError, type ConnectionLost, type EslErrorKind } from './connection/faults';
export { createNodeLink, pauseBefore, type DownReport, type NodeLink, type NodeLinkOptions } from './connection/link';
export * from './listings/media-stats';
export { parseChannelDump, type ChannelDump } from './events/parse-event';
export { parseReply, type Reply } from './connection/replies';
export * from './commands/image-commands';
export * from './commands/room-commands';
export { parseRoomFlags, type MemberFlags, type RoomFlags } from './listings/room-flags';
export { parseRooms, type RoomMember, type RoomRecording, type RoomSnapshot } from './listings/room-snapshot';
export {
  parseBridges,
  parseChannels,
  parseProfileRegistrations,
  parseRegistrations,
  readDump,
  type ChannelRow,
  type ProfileRegistration,
  type ListedRegistration,
} from './listings/snapshots';
export * from './listings/node-status';
export type { EventClock } from './events/event-clock';
export * from './commands/tones';
