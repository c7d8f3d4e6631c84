/** What a real node said, and what we make of it. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseChannels, parseRegistrations, type ChannelEvent } from '../../../../src/freeswitch/esl';
import { parseRawEvent, typedEvent, type RawEvent } from '../../../../src/freeswitch/esl/events/parse-event';

const directory = path.join(__dirname, '..', '..', '..', 'fixtures', 'freeswitch');
const recorded = (name: string): string => readFileSync(path.join(directory, `${name}.json`), 'utf8');
const event = (name: string): unknown => typedEvent(JSON.parse(recorded(name)) as RawEvent);

test('knows every recorded event', () => {
  const names = readdirSync(directory).map((file) => file.replace(/\.json$/, ''));
  const events = names.filter((name) => !/^(show-|conference-json)/.test(name));
  expect(events.length).toBeGreaterThan(12);
  for (const name of events)
    expect([name, event(name)]).toEqual([name, expect.objectContaining({ atMs: expect.any(Number) })]);
});

test('reads a heartbeat', () => {
  expect(event('heartbeat')).toMatchObject({
    type: 'heartbeat',
    hostname: 'node-1',
    maxSessions: 100,
    sessionsPerSecondLeft: expect.any(Number),
    coreUuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
    uptimeMs: expect.any(Number),
  });
});

test('reads a registration and its end', () => {
  const phone = { username: '1001', domain: 'clinic.test', profile: 'internal', sipCallId: 'r1@sipp' };
  const contact = 'sip:1001@127.0.0.1:17701;transport=udp';
  const raw = JSON.parse(recorded('custom.sofia-register')) as RawEvent;
  expect(event('custom.sofia-unregister')).toMatchObject({ type: 'unregistered', ...phone, contact });
  expect(typedEvent(raw)).toMatchObject({
    type: 'registered',
    ...phone,
    contact,
    transport: 'udp',
    expiresSeconds: 120,
  });
  expect(typedEvent({ ...raw, 'Event-Subclass': 'sofia::unregister' })).toMatchObject({
    type: 'unregistered',
    ...phone,
    contact,
    reason: 'unregister',
  });
  const ws = { ...raw, contact: '"" <sip:x@h.invalid;transport=ws>', status: 'Registered(WS-NAT)' };
  expect(typedEvent(ws)).toMatchObject({ transport: 'ws' });
  expect(typedEvent({ ...raw, contact: 'sip:x@h.invalid', status: 'Registered(WS-NAT)' })).toMatchObject({
    transport: 'ws',
  });
});

test('reads the end of a registration that ran out', () => {
  const raw = { 'Event-Name': 'CUSTOM', 'Event-Subclass': 'sofia::expire', user: '1001', host: 'clinic.test' };
  expect(typedEvent(raw)).toMatchObject({
    type: 'unregistered',
    username: '1001',
    domain: 'clinic.test',
    reason: 'expire',
  });
});

test('reads a channel from its creation to its end', () => {
  expect(event('channel-create')).toMatchObject({
    phase: 'created',
    legRole: 'from',
    callerName: "Zoë O'Hara, 50% 🙂",
    callerNumber: '1001',
    context: 'users',
  });
  expect(event('channel-bridge')).toMatchObject({
    phase: 'bridged',
    otherLegId: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
  const end = event('channel-hangup-complete') as ChannelEvent;
  expect(end).toMatchObject({ phase: 'hangup', hangupCause: 'NORMAL_CLEARING', endedAtMs: expect.any(Number) });
  expect(end.variables).toMatchObject({ switchyard_call_id: end.callId, accountcode: end.callId });
});

test('reads a job and a room', () => {
  expect(event('background-job')).toMatchObject({ type: 'job', reply: { ok: false, cause: 'NO_ANSWER' } });
  expect(event('custom.conference-maintenance.add-member')).toMatchObject({ type: 'room', room: 'daily', size: 2 });
});

test('reads the listings', () => {
  const [channel] = parseChannels(recorded('show-channels'));
  expect(channel).toMatchObject({
    legId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    context: 'users',
    callId: expect.any(String),
  });
  expect(parseRegistrations(recorded('show-registrations'))).toEqual([
    {
      username: '1001',
      domain: 'clinic.test',
      sipCallId: 'r1@sipp',
      contactUrl: 'sip:1001@127.0.0.1:17701;transport=udp',
      expiresAtMs: expect.any(Number),
      networkIp: '127.0.0.1',
      networkPort: 17701,
      transport: 'udp',
      profile: 'internal',
    },
  ]);
  const browser = (url: string) =>
    parseRegistrations(JSON.stringify({ rows: [{ reg_user: 'ann', url, network_proto: 'udp' }] }));
  const contact = 'sofia/internal/sip:ann@x.invalid;transport=ws';
  for (const [url, transport] of [
    [contact, 'ws'],
    [`${contact};fs_nat=yes;fs_path=sip%3Aann%40127.0.0.1%3A4711%3Btransport%3Dwss`, 'wss'],
    ['sofia/internal/sip:ann@127.0.0.1', 'udp'],
    ['sofia/internal/sip:ann@127.0.0.1;transport=tcp', 'udp'],
  ])
    expect(browser(url!)).toMatchObject([{ transport }]);
  expect(parseChannels('{"row_count":0}')).toEqual([]);
  expect(() => parseChannels('-ERR no')).toThrow(expect.objectContaining({ kind: 'bad_reply' }));
});

test('leaves out what is no event', () => {
  for (const text of ['', 'null', '[]', '"x"', '{', '{"a":}']) expect(parseRawEvent(Buffer.from(text))).toBeUndefined();
  expect(typedEvent({})).toBeUndefined();
  expect(typedEvent({ 'Event-Name': 'CUSTOM', 'Event-Subclass': 'other::thing' })).toBeUndefined();
  expect(typedEvent({ 'Event-Name': '__proto__' })).toBeUndefined();
});

test('a word without an end is cut off, at no half character, and the answer of a command is whole', () => {
  const cause = typedEvent({
    ...{ 'Event-Name': 'CHANNEL_HANGUP_COMPLETE', 'Unique-ID': 'x' },
    'Hangup-Cause': `a${'😀'.repeat(1_000_000)}`,
  }) as ChannelEvent;
  expect(cause.hangupCause).toHaveLength(16_383);
  expect(cause.hangupCause).toMatch(/😀$/u);
  const job = typedEvent({ 'Event-Name': 'BACKGROUND_JOB', _body: `+OK ${'x'.repeat(1_000_000)}` });
  expect(job).toMatchObject({ reply: { text: expect.stringMatching(/x{1000000}/) as string } });
});
