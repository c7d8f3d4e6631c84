/** What goes over the wire, word for word, and what FreeSWITCH makes of it. */
import * as esl from '../../../../src/freeswitch/esl';
import { freeswitchVariables } from '../tokenizer';

const leg = '0198c0de-0000-7000-8000-000000000001';
const call = (variables: Record<string, string>): esl.ApiCommand =>
  esl.originateCall({
    legId: leg,
    endpoint: esl.userEndpoint('1001', 'clinic.test'),
    variables,
    ringTimeoutSeconds: 30,
    destination: { extension: '1002', dialplan: 'XML', context: 'users' },
  });

test.each<[string, esl.ApiCommand]>([
  [`originate {origination_uuid=${leg},originate_timeout=30}user/1001@clinic.test 1002 XML users`, call({})],
  [
    `originate {a=b,origination_uuid=${leg},originate_timeout=30}user/1001@clinic.test 1002 XML users`,
    call({ a: 'b', empty: '' }),
  ],
  [`uuid_kill ${leg} USER_BUSY`, esl.killChannel(leg, 'USER_BUSY')],
  [`uuid_exists ${leg}`, esl.channelExists(leg)],
  [`uuid_dump ${leg} json`, esl.dumpChannel(leg)],
  ['show channels as json', esl.showChannels()],
  ['show registrations as json', esl.showRegistrations()],
  ['xml_flush_cache id 1001 clinic.test', esl.flushUserCache('1001', 'clinic.test')],
  ['reloadacl', esl.reloadAcl()],
  ['acl 127.0.0.1 switchyard-1a', esl.checkAcl('127.0.0.1', 'switchyard-1a')],
  ['xml_locate configuration configuration name acl.conf', esl.locateConfiguration('acl.conf')],
  ['sofia profile internal rescan', esl.rescanProfile('internal')],
  ['echo alive', esl.probe()],
  [`uuid_setvar ${leg} note it\\'s\\shere`, esl.setVariable(leg, 'note', "it's here")],
  [`uuid_hold ${leg}`, esl.holdChannel(leg)],
  [`uuid_hold off ${leg}`, esl.unholdChannel(leg)],
  [`uuid_transfer ${leg} 1003 XML users`, esl.transferChannel(leg, { extension: '1003', context: 'users' })],
  [
    `uuid_transfer ${leg} -bleg 1003 XML users`,
    esl.transferChannel(leg, { extension: '1003', context: 'users' }, 'other'),
  ],
  [`uuid_send_dtmf ${leg} 12#*@100`, esl.sendDtmf(leg, '12#*')],
  [`uuid_broadcast ${leg} tone_stream://%(200,0,440) both`, esl.playFile(leg, 'tone_stream://%(200,0,440)')],
])('%s', (line, command) => expect(command.line).toBe(line));

test.each([
  "Zoë O'Hara, 50% 🙂",
  `"><x/>`,
  'Jos%E9',
  "a'b,c='d' \\' \\\\ \\n e",
  ' edges ',
  '^^:a:b',
  '[x]|y,z=1&w',
  '=',
  "'",
  '\\',
  '<sip:a@b>;tag=1',
])('a value arrives as it was written: %s', (value) => {
  expect(freeswitchVariables(call({ before: 'x', value, after: "y'" }).line)).toMatchObject({
    before: 'x',
    value,
    after: "y'",
    origination_uuid: leg,
  });
});

test.each([
  ['${system(touch x)}', '$(system(touch x))'],
  ['$${base_dir}', '$$(base_dir)'],
  ['}user/9 &system(x)', ')user/9 &system(x)'],
  ['{{{', '((('],
  ['a:_:_:b', 'a: _: _:b'],
])('a value can do nothing: %s', (value, arrives) => {
  expect(freeswitchVariables(call({ value }).line)).toMatchObject({ value: arrives, origination_uuid: leg });
});

test.each([
  ['a newline', () => call({ name: 'a\n\napi shutdown' })],
  ['a zero', () => call({ name: 'a\0b' })],
  ['a carriage return', () => esl.setVariable(leg, 'n', 'a\rb')],
  ['a variable name with more in it', () => call({ 'a=b,c': 'd' })],
  ['a user that is two arguments', () => esl.userEndpoint('1001 &system', 'clinic.test')],
  ['a domain with an expansion', () => esl.userEndpoint('1001', '${x}')],
  ['an empty leg', () => esl.killChannel('', 'NORMAL_CLEARING')],
  ['a cause that is two words', () => esl.killChannel(leg, 'A B')],
  ['digits that are none', () => esl.sendDtmf(leg, '12 34')],
  ['a time of no length', () => esl.originateCall({ ...options, ringTimeoutSeconds: 0 })],
  ['an endpoint that dials several through a loophole', () => esl.originateCall({ ...options, endpoint: 'a/b:_:c/d' })],
  ['an endpoint with variables', () => esl.originateCall({ ...options, endpoint: '{a=b}user/1@c' })],
  ['an application instead of an extension', () => esl.transferChannel(leg, { extension: '&park()', context: 'c' })],
])('refuses %s', (_what, make) => expect(make).toThrow(expect.objectContaining({ code: 'invalid_request' })));

const options = {
  legId: leg,
  endpoint: 'user/1@c',
  variables: {},
  ringTimeoutSeconds: 5,
  destination: { extension: '1', dialplan: 'XML' as const, context: 'c' },
};

test.each([
  ['+OK abc\n', { ok: true, text: 'abc' }],
  ['+OK', { ok: true, text: '' }],
  ['-ERR USER_NOT_REGISTERED\n', { ok: false, cause: 'USER_NOT_REGISTERED', text: 'USER_NOT_REGISTERED' }],
  ['-ERR nosuchcmd Command not found!\n', { ok: false, cause: 'nosuchcmd', text: 'nosuchcmd Command not found!' }],
  ['-ERR', { ok: false, cause: 'UNKNOWN', text: '' }],
  ['-USAGE: <uuid>\n', { ok: false, cause: 'USAGE', text: '<uuid>' }],
  ['true', { ok: true, text: 'true' }],
])('reads the answer %j', (raw, reply) => expect(esl.parseReply(raw)).toEqual(reply));
