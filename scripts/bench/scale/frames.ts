/** Makes the events of a call from recorded ones with new ids, so that what is measured reads what real nodes write. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

const FIXTURES = path.join(__dirname, '..', '..', '..', 'test', 'fixtures', 'freeswitch');
type Raw = Record<string, string>;
const load = (name: string): Raw => JSON.parse(readFileSync(path.join(FIXTURES, `${name}.json`), 'utf8')) as Raw;

const RECORDED = {
  created: load('channel-create'),
  progress: load('channel-progress'),
  answered: load('channel-answer'),
  bridged: load('channel-bridge'),
  hangup: load('channel-hangup-complete'),
  destroyed: load('channel-destroy'),
  heartbeat: load('heartbeat'),
};
export type Phase = Exclude<keyof typeof RECORDED, 'heartbeat'>;

/** A call of two legs on one node. */
export interface BenchCall {
  callId: string;
  fromLeg: string;
  toLeg: string;
  /** Nobody answers it. */
  rings?: boolean;
}

/** The beginning, in the order a real node tells it. */
export const SETUP: readonly (readonly ['from' | 'to', Phase])[] = [
  ['from', 'created'],
  ['from', 'progress'],
  ['from', 'answered'],
  ['to', 'created'],
  ['to', 'progress'],
  ['to', 'answered'],
  ['from', 'bridged'],
];
export const END: readonly (readonly ['from' | 'to', Phase])[] = [
  ['to', 'hangup'],
  ['from', 'hangup'],
  ['to', 'destroyed'],
  ['from', 'destroyed'],
];

const body = (text: string, type: string): string =>
  `Content-Length: ${Buffer.byteLength(text)}\nContent-Type: ${type}\n\n${text}`;
const eventFrame = (event: Raw): string => body(JSON.stringify(event), 'text/event-json');
export const replyFrame = (text: string): string => `Content-Type: command/reply\nReply-Text: ${text}\n\n`;
export const answerFrame = (text: string): string =>
  `Content-Type: api/response\nContent-Length: ${Buffer.byteLength(text)}\n\n${text}`;

export function channelFrame(call: BenchCall, role: 'from' | 'to', phase: Phase): string {
  const legId = role === 'from' ? call.fromLeg : call.toLeg;
  const micros = `${Date.now()}000`;
  return eventFrame({
    ...RECORDED[phase],
    'Event-Date-Timestamp': micros,
    'Unique-ID': legId,
    'Channel-Name': `sofia/internal/${role}@192.0.2.7`,
    'Caller-Channel-Created-Time': micros,
    'Caller-Channel-Hangup-Time': phase === 'hangup' ? micros : '0',
    ...(phase === 'hangup' ? { 'Hangup-Cause': 'NORMAL_CLEARING' } : {}),
    variable_switchyard_call_id: call.callId,
    variable_accountcode: call.callId,
    variable_switchyard_leg: role,
  });
}

/** @param idleCpuPercent also a mark: once it stands in the node's row, all that was told before is taken in */
export function heartbeatFrame(node: string, sessions: number, idleCpuPercent: number): string {
  return eventFrame({
    ...RECORDED.heartbeat,
    'FreeSWITCH-Switchname': node,
    'Event-Date-Timestamp': `${Date.now()}000`,
    'Session-Count': String(sessions),
    'Max-Sessions': '1000',
    'Idle-CPU': idleCpuPercent.toFixed(6),
  });
}

export const jobFrame = (jobId: string, text: string): string =>
  eventFrame({
    'Event-Name': 'BACKGROUND_JOB',
    'Event-Date-Timestamp': `${Date.now()}000`,
    'Job-UUID': jobId,
    'Content-Length': String(text.length),
    _body: text,
  });

const listed = (JSON.parse(readFileSync(path.join(FIXTURES, 'show-channels.json'), 'utf8')) as { rows: Raw[] })
  .rows[0]!;

/** What `show channels as json` answers: of calls that only ring their first leg. */
export function channelsJson(calls: Iterable<BenchCall>): string {
  const rows: Raw[] = [];
  for (const call of calls)
    for (const uuid of call.rings ? [call.fromLeg] : [call.fromLeg, call.toLeg]) {
      const callstate = call.rings ? 'RINGING' : 'ACTIVE';
      rows.push({ ...listed, uuid, accountcode: call.callId, call_uuid: call.fromLeg, callstate });
    }
  return rows.length > 0 ? JSON.stringify({ row_count: rows.length, rows }) : '{"row_count":0}';
}
