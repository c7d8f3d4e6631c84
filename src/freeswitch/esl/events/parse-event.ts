/** Turns one JSON event into its typed value; it runs for every event of every node, so it reads only what is asked. */
import type {
  ChannelEvent,
  ChannelPhase,
  HeartbeatEvent,
  NodeEvent,
  RecordEvent,
  RegisteredEvent,
  RoomEvent,
  UnregisteredEvent,
} from './events';
import {
  atMs as toldAtMs,
  count,
  LAST_MS,
  maybe,
  moment as toldMoment,
  text,
  whole,
  wholeMs,
  wholeText,
  type RawEvent,
} from './event-fields';

import { parseReply } from '../connection/replies';
import { asTold, type ReadTime } from './event-clock';

export type { RawEvent } from './event-fields';

/** When it came about, by our clock; 0 where the node does not say. */
function atMs(raw: RawEvent, read: ReadTime): number {
  const told = toldAtMs(raw);
  return told === 0 ? 0 : read(told);
}

function moment(raw: RawEvent, name: string, read: ReadTime): number | undefined {
  const told = toldMoment(raw, name);
  return told === undefined ? undefined : read(told);
}

const switchName = (raw: RawEvent): string => text(raw, 'FreeSWITCH-Switchname') || text(raw, 'FreeSWITCH-Hostname');

const PHASES: ReadonlyMap<string, ChannelPhase> = new Map(
  Object.entries({
    CHANNEL_CREATE: 'created',
    CHANNEL_PROGRESS: 'progress',
    CHANNEL_PROGRESS_MEDIA: 'progress_media',
    CHANNEL_ANSWER: 'answered',
    CHANNEL_BRIDGE: 'bridged',
    CHANNEL_UNBRIDGE: 'unbridged',
    CHANNEL_HANGUP_COMPLETE: 'hangup',
    CHANNEL_DESTROY: 'destroyed',
    CHANNEL_HOLD: 'held',
    CHANNEL_UNHOLD: 'unheld',
  } as const),
);

/** `variables` is read on demand: copying a hundred of them would cost more than all the rest of the event. */
class ParsedChannelEvent implements ChannelEvent {
  readonly type = 'channel' as const;
  readonly legId: string;
  readonly otherLegId?: string;
  readonly callId?: string;
  readonly legRole?: string;
  readonly direction: 'inbound' | 'outbound';
  readonly channelName: string;
  readonly callerNumber: string;
  readonly callerName: string;
  readonly destination: string;
  readonly context?: string;
  readonly profile?: string;
  readonly hangupCause?: string;
  readonly partnerCause?: string;
  readonly atMs: number;
  readonly createdAtMs?: number;
  readonly answeredAtMs?: number;
  readonly endedAtMs?: number;
  readonly registrationId?: string;
  readonly #raw: RawEvent;

  constructor(
    raw: RawEvent,
    readonly phase: ChannelPhase,
    read: ReadTime,
  ) {
    this.#raw = raw;
    this.legId = text(raw, 'Unique-ID');
    this.otherLegId = otherLeg(raw, this.legId);
    this.callId = maybe(raw, 'variable_switchyard_call_id') ?? maybe(raw, 'variable_accountcode');
    this.legRole = maybe(raw, 'variable_switchyard_leg');
    this.direction = raw['Call-Direction'] === 'outbound' ? 'outbound' : 'inbound';
    this.channelName = text(raw, 'Channel-Name');
    this.callerNumber = text(raw, 'Caller-Caller-ID-Number');
    this.callerName = text(raw, 'Caller-Caller-ID-Name');
    this.destination = text(raw, 'Caller-Destination-Number');
    this.context = maybe(raw, 'Caller-Context');
    // A phone may name its own channel (X-FS-Channel-Name), so the name is the last to be asked.
    this.profile =
      maybe(raw, 'variable_sofia_profile_name') ??
      maybe(raw, 'variable_sip_profile_name') ??
      profileIn(this.channelName);
    this.hangupCause = maybe(raw, 'Hangup-Cause');
    this.partnerCause = maybe(raw, 'variable_last_bridge_hangup_cause');
    this.atMs = atMs(raw, read);
    this.createdAtMs = moment(raw, 'Caller-Channel-Created-Time', read);
    this.answeredAtMs = moment(raw, 'Caller-Channel-Answered-Time', read);
    this.endedAtMs = moment(raw, 'Caller-Channel-Hangup-Time', read);
    this.registrationId = maybe(raw, 'variable_switchyard_registration');
  }

  /** Written with each answer to the INVITE (sofia.c 6617), but a 100; a failure of the node's own making has none. */
  get wasHeardFrom(): boolean {
    return maybe(this.#raw, 'variable_sip_reply_host') !== undefined;
  }

  get inviteStatus(): number | undefined {
    return whole(this.#raw, 'variable_sip_invite_failure_status', 699) || undefined;
  }

  get variables(): Record<string, string> {
    const variables: Record<string, string> = {};
    for (const name of Object.keys(this.#raw)) {
      if (name.startsWith('variable_')) variables[name.slice(9)] = text(this.#raw, name);
    }
    return variables;
  }
}

function otherLeg(raw: RawEvent, legId: string): string | undefined {
  const other = maybe(raw, 'Other-Leg-Unique-ID');
  if (other !== undefined) return other;
  const [a, b] = [maybe(raw, 'Bridge-A-Unique-ID'), maybe(raw, 'Bridge-B-Unique-ID')];
  return a === legId ? b : a;
}

function profileIn(channelName: string): string | undefined {
  if (!channelName.startsWith('sofia/')) return undefined;
  const end = channelName.indexOf('/', 6);
  return end > 6 ? channelName.slice(6, end) : undefined;
}

/** The URI inside `"Name" <sip:…>`. */
function contactUri(contact: string): string {
  const [open, close] = [contact.indexOf('<'), contact.lastIndexOf('>')];
  return open >= 0 && close > open ? contact.slice(open + 1, close) : contact;
}

/**
 * How the phone is reached: `Registered(WSS-NAT)` says so, else its contact does. A browser's contact says `ws` also
 * where it came by `wss`.
 */
function transportOf(contact: string, status: string): string {
  const said = /\((TCP|TLS|WSS?)\b/i.exec(status)?.[1] ?? /transport(?:=|%3D)([A-Za-z]+)/i.exec(contact)?.[1];
  return (said ?? 'udp').toLowerCase();
}

function heartbeat(raw: RawEvent, read: ReadTime): HeartbeatEvent {
  return {
    type: 'heartbeat',
    coreUuid: text(raw, 'Core-UUID'),
    hostname: switchName(raw),
    sessionCount: whole(raw, 'Session-Count'),
    maxSessions: whole(raw, 'Max-Sessions'),
    idleCpuPercent: Math.min(100, Math.max(0, count(raw, 'Idle-CPU'))),
    uptimeMs: whole(raw, 'Uptime-msec', LAST_MS),
    version: text(raw, 'FreeSWITCH-Version').split(/[+~]/)[0] || null,
    sessionsPerSecondLeft: whole(raw, 'Session-Per-Sec'),
    atMs: atMs(raw, read),
  };
}

function registered(raw: RawEvent, read: ReadTime): RegisteredEvent {
  const contact = contactUri(text(raw, 'contact'));
  const status = text(raw, 'status');
  return {
    type: 'registered',
    // What the digest proved. `to-user` and `to-host` are the REGISTER's From, which says whatever a phone likes
    // (sofia_reg.c 2062); `from-user` is its To.
    username: text(raw, 'username'),
    domain: text(raw, 'realm'),
    contact,
    sipCallId: text(raw, 'call-id'),
    expiresSeconds: whole(raw, 'expires'),
    networkIp: text(raw, 'network-ip'),
    networkPort: whole(raw, 'network-port', 65_535),
    userAgent: text(raw, 'user-agent'),
    profile: text(raw, 'profile-name'),
    status,
    transport: transportOf(contact, status),
    atMs: atMs(raw, read),
  };
}

function unregistered(raw: RawEvent, reason: 'unregister' | 'expire', read: ReadTime): UnregisteredEvent {
  return {
    type: 'unregistered',
    // `expire` says `user` and `host`, as the node has it in its own list.
    // `unregister` says what the digest proved; a socket that closed (sofia.c 2080) tells only the To it was booked by.
    username: text(raw, 'user') || text(raw, 'username') || text(raw, 'from-user'),
    domain: text(raw, 'host') || text(raw, 'realm') || text(raw, 'from-host'),
    contact: contactUri(text(raw, 'contact')),
    sipCallId: text(raw, 'call-id'),
    profile: text(raw, 'profile-name'),
    networkIp: maybe(raw, 'network-ip'),
    networkPort: whole(raw, 'network-port', 65_535) || undefined,
    reason,
    atMs: atMs(raw, read),
  };
}

function room(raw: RawEvent, read: ReadTime): RoomEvent {
  const size = raw['Conference-Size'];
  return {
    type: 'room',
    action: text(raw, 'Action'),
    room: text(raw, 'Conference-Name'),
    sessionId: maybe(raw, 'Conference-Unique-ID'),
    size: size === undefined ? undefined : whole(raw, 'Conference-Size'),
    memberId: maybe(raw, 'Member-ID'),
    legId: maybe(raw, 'Unique-ID'),
    profile: maybe(raw, 'Conference-Profile-Name'),
    path: maybe(raw, 'Path')?.replace(/^\{[^}]*\}/, ''), // parameters stand before the path that was asked for
    hangupCause: maybe(raw, 'Hangup-Cause'),
    atMs: atMs(raw, read),
    fields: raw as Record<string, string>,
  };
}

function record(raw: RawEvent, phase: 'started' | 'stopped', read: ReadTime): RecordEvent {
  const ms = maybe(raw, 'variable_record_ms');
  return {
    type: 'record',
    phase,
    legId: text(raw, 'Unique-ID'),
    path: text(raw, 'Record-File-Path').replace(/^\{[^}]*\}/, ''),
    durationMs: phase === 'stopped' && ms !== undefined ? wholeMs(ms) : undefined,
    cause: maybe(raw, 'Record-Completion-Cause'),
    atMs: atMs(raw, read),
  };
}

function custom(raw: RawEvent, read: ReadTime): NodeEvent | undefined {
  switch (raw['Event-Subclass']) {
    case 'sofia::register':
      return registered(raw, read);
    case 'sofia::unregister':
      return unregistered(raw, 'unregister', read);
    case 'sofia::expire':
      return unregistered(raw, 'expire', read);
    case 'conference::maintenance':
      return room(raw, read);
    default:
      return undefined;
  }
}

/**
 * The typed value of an event, or undefined for one we have no use for.
 * @param read gives the node's times by our clock; as they are where it is left out
 */
export function typedEvent(raw: RawEvent, read: ReadTime = asTold): NodeEvent | undefined {
  const name = raw['Event-Name'];
  if (typeof name !== 'string') return undefined;
  const phase = PHASES.get(name);
  if (phase !== undefined) return new ParsedChannelEvent(raw, phase, read);
  switch (name) {
    case 'HEARTBEAT':
      return heartbeat(raw, read);
    case 'CUSTOM':
      return custom(raw, read);
    case 'BACKGROUND_JOB':
      return {
        type: 'job',
        jobId: text(raw, 'Job-UUID'),
        reply: parseReply(wholeText(raw, '_body')),
        atMs: atMs(raw, read),
      };
    case 'RECORD_START':
      return record(raw, 'started', read);
    case 'RECORD_STOP':
      return record(raw, 'stopped', read);
    case 'SHUTDOWN':
      return { type: 'shutdown', coreUuid: text(raw, 'Core-UUID'), hostname: switchName(raw), atMs: atMs(raw, read) };
    default:
      return undefined;
  }
}

/** A channel as `uuid_dump … json` shows it. */
export interface ChannelDump extends ChannelEvent {
  isAnswered: boolean;
  bridgedAtMs?: number;
}

/** Reads the answer of dumpChannel(); undefined where there is no such channel, or it can't be read. @param read gives the node's times by our clock */
export function parseChannelDump(json: string, read: ReadTime = asTold): ChannelDump | undefined {
  const raw = parseRawEvent(Buffer.from(json));
  if (!raw || text(raw, 'Unique-ID') === '') return undefined;
  const isAnswered = raw['Answer-State'] === 'answered';
  const event = new ParsedChannelEvent(raw, isAnswered ? 'answered' : 'created', read);
  return Object.assign(event, { isAnswered, bridgedAtMs: moment(raw, 'Caller-Channel-Bridged-Time', read) });
}

/** No store takes a NUL, and none takes half a surrogate pair as JSON: one such word would keep a whole report out. */
const NOT_TEXT = /\u0000|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const cleanText = (_name: string, value: unknown): unknown =>
  typeof value === 'string' ? value.replace(NOT_TEXT, '\ufffd') : value;

/**
 * Reads a JSON event's bytes; undefined where they are no JSON object. Bytes that are no UTF-8 become U+FFFD, and so does
 * what is no text: it can only be written as an escape, which FreeSWITCH does not do for anything but control characters.
 */
export function parseRawEvent(body: Buffer): RawEvent | undefined {
  try {
    const written = body.toString('utf8');
    const parsed: unknown = written.includes('\\u') ? JSON.parse(written, cleanText) : JSON.parse(written);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as RawEvent) : undefined;
  } catch {
    return undefined;
  }
}
