/** Writes what a node sends on its Event Socket: frames, nearly frames, and events with everything that JSON can hold. */
import * as fc from 'fast-check';
import { anyText } from './text';

/** One frame as it is written: what it announces need not be true. */
export interface FramePlan {
  blankLines: number;
  headers: readonly (readonly [string, string])[];
  body: string;
  /** How much the announced length differs from the body's. */
  off: number;
  length: 'first' | 'last' | 'none' | 'twice' | 'odd';
  lineEnd: '\n' | '\r\n';
}

const contentType = fc.constantFrom(
  'text/event-json',
  'api/response',
  'command/reply',
  'auth/request',
  'text/disconnect-notice',
  'text/rude-rejection',
  'text/event-plain',
  'TEXT/EVENT-JSON',
);

const header = fc.oneof(
  contentType.map((type) => ['Content-Type', type] as const),
  fc.constantFrom('+OK', '-ERR denied', '+OK Job-UUID: 1').map((text) => ['Reply-Text', text] as const),
  fc
    .tuple(fc.constantFrom('X', 'Job-UUID', '', ':', '__proto__'), anyText)
    .map(([name, text]) => [name, text] as const),
  fc.integer({ min: 32_600, max: 32_800 }).map((n) => ['X-Long', 'a'.repeat(n)] as const),
);

const mostly = <T>(usual: T, ...rest: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...rest) });

export const framePlans: fc.Arbitrary<readonly FramePlan[]> = fc.array(
  fc.record({
    blankLines: fc.constantFrom(0, 0, 0, 1, 5),
    headers: fc.array(header, { maxLength: 4 }),
    body: fc.oneof(fc.constantFrom('', '{}', '{"Event-Name":"HEARTBEAT"}', 'a\n\nb', '\n', '\n\n'), anyText),
    off: mostly(0, 1, -1, 5, 1000, -1000, 3e9, NaN),
    length: fc.constantFrom('first', 'first', 'first', 'last', 'none', 'twice', 'odd') as fc.Arbitrary<
      FramePlan['length']
    >,
    lineEnd: mostly('\n' as const, '\r\n' as const),
  }),
  { maxLength: 6 },
);

export function writeFrames(plans: readonly FramePlan[]): Buffer {
  const parts = plans.flatMap((p) => {
    const body = Buffer.from(p.body, 'utf8');
    const announced = String(Number.isNaN(p.off) ? 'many' : body.length + p.off);
    const length = [p.length === 'odd' ? 'content-LENGTH' : 'Content-Length', announced] as const;
    const headers = [
      ...(p.length === 'first' || p.length === 'twice' || p.length === 'odd' ? [length] : []),
      ...p.headers,
      ...(p.length === 'last' ? [length] : p.length === 'twice' ? [['Content-Length', '0'] as const] : []),
    ];
    const head = headers.map(([name, value]) => `${name}: ${value}`).join(p.lineEnd);
    return [Buffer.from(`${'\n'.repeat(p.blankLines)}${head}${p.lineEnd}${p.lineEnd}`), body];
  });
  return Buffer.concat(parts);
}

/** Names of fields that are read of events; a value of any kind may stand behind each. */
const FIELDS: readonly string[] = (
  'Event-Name Event-Subclass Event-Date-Timestamp Core-UUID FreeSWITCH-Switchname FreeSWITCH-Hostname ' +
  'FreeSWITCH-Version Unique-ID Other-Leg-Unique-ID Bridge-A-Unique-ID Bridge-B-Unique-ID Call-Direction Channel-Name ' +
  'Caller-Caller-ID-Name Caller-Caller-ID-Number Caller-Destination-Number Caller-Context Hangup-Cause ' +
  'Caller-Channel-Created-Time Caller-Channel-Answered-Time Caller-Channel-Hangup-Time variable_switchyard_call_id ' +
  'variable_accountcode variable_switchyard_leg variable_sofia_profile_name variable_record_ms Session-Count Max-Sessions ' +
  'Idle-CPU Uptime-msec Session-Per-Sec to-user to-host from-user from-host username realm user host contact call-id ' +
  'expires network-ip network-port user-agent profile-name status Action Conference-Name Conference-Unique-ID ' +
  'Conference-Size Member-ID Conference-Profile-Name Path Record-File-Path Record-Completion-Cause Job-UUID _body'
).split(' ');

const EVENT_NAMES = [
  ...'CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_UNBRIDGE'.split(' '),
  ...'CHANNEL_HANGUP_COMPLETE CHANNEL_DESTROY CHANNEL_HOLD CHANNEL_UNHOLD HEARTBEAT CUSTOM BACKGROUND_JOB'.split(' '),
  ...'RECORD_START RECORD_STOP SHUTDOWN __proto__ constructor'.split(' '),
];
const SUBCLASSES = ['sofia::register', 'sofia::unregister', 'sofia::expire', 'conference::maintenance', 'x::y'];

const UUIDS = ['0198c0de-0000-7000-8000-000000000001', '0198c0de-0000-7000-8000-00000000000A', ''];

/** What stands behind a field: mostly text as FreeSWITCH writes it, sometimes anything. */
const fieldValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: anyText },
  {
    weight: 4,
    arbitrary: fc.constantFrom<unknown>(
      ...UUIDS,
      '0',
      '-1',
      '1e308',
      '1e999',
      'NaN',
      'Infinity',
      '0x10',
      '9007199254740993',
      '1790000000000000',
      '179000000000000000000',
      '"a" <sip:1001@10.0.0.1:5060;transport=ws;fs_path=sip%3A>',
      'Registered(WS-NAT)',
      'sofia/internal/1001@a.test',
      'sofia/',
      '{a=b}/tmp/x.wav',
      'inbound',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(null, true, 0, -0, 1e300, 5e-324, [], {}, [[]], ['a', 'b'], [{}], {
      toString: 1,
    }),
  },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
);

/** An event as text. The first two fields say what it is, mostly rightly. */
export const eventTexts: fc.Arbitrary<string> = fc
  .tuple(
    fc.oneof({ weight: 9, arbitrary: fc.constantFrom<unknown>(...EVENT_NAMES) }, { weight: 1, arbitrary: fieldValue }),
    fc.oneof({ weight: 9, arbitrary: fc.constantFrom<unknown>(...SUBCLASSES) }, { weight: 1, arbitrary: fieldValue }),
    fc.array(
      fc.tuple(
        fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...FIELDS) }, { weight: 1, arbitrary: anyText }),
        fieldValue,
      ),
      {
        maxLength: 14,
      },
    ),
  )
  .map(([name, subclass, fields]) => {
    const pairs: [string, unknown][] = [['Event-Name', name], ['Event-Subclass', subclass], ...fields];
    return `{${pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value) ?? 'null'}`).join(',')}}`;
  });

/** Listings and other answers that are read. */
export const replyTexts: fc.Arbitrary<string> = fc.oneof(
  anyText,
  fc.tuple(fc.constantFrom('+OK', '+OK ', '-ERR', '-ERR ', '-USAGE', '-USAGE: ', ''), anyText).map(([a, b]) => a + b),
  fc
    .array(
      fc.tuple(fc.constantFrom('uuid', 'name', 'reg_user', 'url', 'expires', 'created_epoch', 'realm'), fieldValue),
      { maxLength: 6 },
    )
    .map((rows) => JSON.stringify({ row_count: 1, rows: [Object.fromEntries(rows)] })),
  fc.array(fieldValue, { maxLength: 4 }).map((rows) => JSON.stringify({ rows })),
  fc.array(fieldValue, { maxLength: 4 }).map((rows) => JSON.stringify(rows)),
  fc
    .tuple(
      fieldValue,
      fc.array(fc.tuple(fc.constantFrom('id', 'uuid', 'type', 'flags', 'record_path', 'join_time'), fieldValue), {
        maxLength: 6,
      }),
    )
    .map(([name, member]) =>
      JSON.stringify([{ conference_name: name, members: [{ type: 'caller', ...Object.fromEntries(member) }] }]),
    ),
  fc
    .tuple(fc.constantFrom('+OK ', ''), anyText, fc.array(anyText, { maxLength: 12 }))
    .map(([ok, flags, fields]) => `${ok}Conference a (1 member rate: 48000 flags: ${flags})\n${fields.join(';')}\n`),
  fc.array(anyText, { maxLength: 9 }).map((fields) => fields.join(';')),
  anyText.map((text) => `<function>session_record</function>\n<target>${text}</target>`),
  anyText.map((text) => `123:${text}\n0:/a\n${text}`),
  anyText.map((text) => `Filesystem 1024-blocks Used Available\n${text} 1 2 3`),
);
