/** What nodes report, as typed values: nothing outside this folder reads an Event Socket header by name. */
import type { Reply } from '../connection/replies';

/** The life of a channel, in our words. */
export type ChannelPhase =
  | 'created'
  | 'progress'
  | 'progress_media'
  | 'answered'
  | 'bridged'
  | 'unbridged'
  | 'hangup'
  | 'destroyed'
  | 'held'
  | 'unheld';

/** A node's regular report of itself. */
export interface HeartbeatEvent {
  type: 'heartbeat';
  coreUuid: string;
  hostname: string;
  sessionCount: number;
  maxSessions: number;
  idleCpuPercent: number;
  uptimeMs: number;
  /** FreeSWITCH's own, as far as a person reads it: 1.10.12-release. Null where it is not told. */
  version: string | null;
  /** What is left of it, not the limit. */
  sessionsPerSecondLeft: number;
  atMs: number;
}

/** A phone registered, or refreshed its registration. */
export interface RegisteredEvent {
  type: 'registered';
  username: string;
  domain: string;
  contact: string;
  sipCallId: string;
  expiresSeconds: number;
  networkIp: string;
  networkPort: number;
  userAgent: string;
  profile: string;
  status: string;
  transport: string;
  atMs: number;
}

/** A registration ended. Where its socket has closed only the Call-ID is told: then the contact is empty. */
export interface UnregisteredEvent {
  type: 'unregistered';
  username: string;
  domain: string;
  contact: string;
  sipCallId: string;
  /** From where it was registered; left out where its socket has closed, of which only the Call-ID is told. */
  networkIp?: string;
  networkPort?: number;
  profile: string;
  reason: 'unregister' | 'expire';
  atMs: number;
}

/** A channel changed. */
export interface ChannelEvent {
  type: 'channel';
  phase: ChannelPhase;
  legId: string;
  otherLegId?: string;
  /** From the variable switchyard_call_id, or accountcode where only that is there. */
  callId?: string;
  /** From the variable switchyard_leg. */
  legRole?: string;
  direction: 'inbound' | 'outbound';
  channelName: string;
  callerNumber: string;
  callerName: string;
  destination: string;
  context?: string;
  profile?: string;
  hangupCause?: string;
  /** What the other end of its bridge ended with, where that ended first. */
  partnerCause?: string;
  atMs: number;
  createdAtMs?: number;
  answeredAtMs?: number;
  endedAtMs?: number;
  /** The registration that the leg rings; only legs to phones have one. */
  registrationId?: string;
  /** Whether anything has come back from the phone that it rings; a 100 is not told. */
  wasHeardFrom?: boolean;
  /** The SIP status by which its INVITE failed, the node's own as well: 503 for a transport that refuses, 408 for silence. */
  inviteStatus?: number;
  variables?: Record<string, string>;
}

/** Something happened in a room (conference::maintenance); `fields` holds the rest as it came. */
export interface RoomEvent {
  type: 'room';
  action: string;
  room: string;
  sessionId?: string;
  size?: number;
  memberId?: string;
  legId?: string;
  profile?: string;
  path?: string;
  /** Of its member's channel, where that has ended. */
  hangupCause?: string;
  atMs: number;
  fields: Record<string, string>;
}

/** The recording of a leg began or ended (RECORD_START, RECORD_STOP). */
export interface RecordEvent {
  type: 'record';
  phase: 'started' | 'stopped';
  legId: string;
  path: string;
  /** What was written, where it has ended. */
  durationMs?: number;
  /** FreeSWITCH's word for why it ended; `success-silence` also stands for a plain hangup. */
  cause?: string;
  atMs: number;
}

/** A background command is done. */
export interface JobEvent {
  type: 'job';
  jobId: string;
  reply: Reply;
  atMs: number;
}

/** The node itself starts going down. */
export interface ShutdownEvent {
  type: 'shutdown';
  coreUuid: string;
  hostname: string;
  atMs: number;
}

export type NodeEvent =
  | HeartbeatEvent
  | RegisteredEvent
  | UnregisteredEvent
  | ChannelEvent
  | RoomEvent
  | RecordEvent
  | JobEvent
  | ShutdownEvent;

/** All that Switchyard listens to: narrow on purpose (RTCP and floor noise are two thirds of an open stream). */
export const SUBSCRIPTION: { events: string[]; subclasses: string[] } = {
  events: [
    'HEARTBEAT',
    'SHUTDOWN',
    'BACKGROUND_JOB',
    'CHANNEL_CREATE',
    'CHANNEL_PROGRESS',
    'CHANNEL_PROGRESS_MEDIA',
    'CHANNEL_ANSWER',
    'CHANNEL_BRIDGE',
    'CHANNEL_UNBRIDGE',
    'CHANNEL_HANGUP_COMPLETE',
    'CHANNEL_DESTROY',
    'CHANNEL_HOLD',
    'CHANNEL_UNHOLD',
    'RECORD_START',
    'RECORD_STOP',
  ],
  subclasses: ['sofia::register', 'sofia::unregister', 'sofia::expire', 'conference::maintenance'],
};
