/** What the rest of the house may use of the Event Socket. */
export * from './commands';
export { openConnection, type ConnectOptions, type NodeConnection } from './connection';
export {
  assertEndpoint,
  assertHost,
  assertSafe,
  assertToken,
  escapeArgument,
  escapeVariableValue,
  inertText,
} from './escape';
export { isPhoneLost } from './endings/phone-lost';
export * from './events';
export * from './file-commands';
export { EslError, type ConnectionLost, type EslErrorKind } from './faults';
export { createNodeLink, pauseBefore, type DownReport, type NodeLink, type NodeLinkOptions } from './link';
export * from './media-stats';
export { parseChannelDump, type ChannelDump } from './parse-event';
export { parseReply, type Reply } from './replies';
export * from './picture-commands';
export * from './room-commands';
export { parseRoomFlags, type MemberFlags, type RoomFlags } from './room-flags';
export { parseRooms, type RoomMember, type RoomRecording, type RoomSnapshot } from './room-snapshot';
export {
  parseBridges,
  parseChannels,
  parseProfileRegistrations,
  parseRegistrations,
  readDump,
  type ChannelRow,
  type ProfileRegistration,
  type RegistrationRow,
} from './snapshots';
export * from './time/node-status';
export type { EventClock } from './time/event-clock';
export * from './tones';
