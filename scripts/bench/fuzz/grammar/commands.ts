/** Every builder of commands with arguments of every kind, and what a node must read of each: the verb and its words. */
import * as fc from 'fast-check';
import * as esl from '../../../../src/freeswitch/esl';
import { anyText } from './text';

/** What is built, and the words that a node must make of it. */
export interface Built {
  builder: string;
  args: readonly unknown[];
  build: () => esl.ApiCommand | esl.ApiCommand[];
  /** By line, since some build two: words, or `rest` for those whose last argument is the rest of the line. */
  expected: () => Expected[];
}

export interface Expected {
  words: readonly string[];
  /** The line goes on with this text behind a blank, unsplit. */
  rest?: string;
}

const LEG = '0198c0de-0000-7000-8000-000000000001';
const PATH = '/var/lib/freeswitch/recordings/0198c0de.wav';
const URL = 'http://10.0.0.1:8080/freeswitch/recordings/0198c0de?token=eyJ.x-_';

/** Mostly what is right there, so that the others are reached. */
const near = (right: string): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant(right) },
    { weight: 2, arbitrary: anyText },
    {
      weight: 2,
      arbitrary: fc
        .tuple(anyText, fc.nat({ max: 20 }))
        .map(([text, at]) => `${right.slice(0, at)}${text}${right.slice(at)}`),
    },
  );

const number: fc.Arbitrary<number> = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 100 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(NaN, Infinity, -Infinity, -1, -0, 0.5, 1e21, 2 ** 31, 2 ** 53, '7 api' as never),
  },
);

const inert = (text: string): string => esl.inertText(text, 'text');
const words = (...list: (string | number)[]): Expected[] => [{ words: list.map(String) }];

/** What is empty is not set. */
const meantVariables = (given: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(given).flatMap(([name, value]) => (value === '' ? [] : [[name, inert(value)]])));

type Make = fc.Arbitrary<Built>;
const of = <A extends unknown[]>(
  builder: string,
  args: { [K in keyof A]: fc.Arbitrary<A[K]> },
  build: (...args: A) => esl.ApiCommand | esl.ApiCommand[],
  expected: (...args: A) => Expected[],
): Make =>
  (fc.tuple(...(args as fc.Arbitrary<unknown>[])) as unknown as fc.Arbitrary<A>).map((list) => ({
    builder,
    args: list,
    build: () => build(...list),
    expected: () => expected(...list),
  }));

const leg = near(LEG);
const path = near(PATH);
const session = near(LEG);
const member = fc.oneof(number, fc.constantFrom('all' as const, 'non_moderator' as const));
const one = number;
const verb = (name: string, line: string): Make =>
  of(name, [], esl[name as 'reloadAcl'], () => words(...line.split(' ')));

/** By builder: one that is not here and not in NO_BUILDERS is a fault of this file. */
const BUILDERS: Readonly<Record<string, Make>> = {
  originateCall: of(
    'originateCall',
    [
      leg,
      near('user/1001@a.test'),
      fc.array(fc.tuple(near('name'), anyText), { maxLength: 4 }),
      number,
      near('1002'),
      near('users'),
    ],
    (legId, endpoint, pairs, ringTimeoutSeconds, extension, context) =>
      esl.originateCall({
        legId,
        endpoint,
        variables: Object.fromEntries(pairs),
        ringTimeoutSeconds,
        destination: { extension, dialplan: 'XML', context },
      }),
    // Its first word is taken apart by the target.
    (legId, endpoint, pairs, seconds, extension, context) => [
      {
        words: [
          'originate',
          JSON.stringify({
            endpoint,
            variables: {
              ...meantVariables(Object.fromEntries(pairs)),
              origination_uuid: legId,
              originate_timeout: String(seconds),
            },
          }),
          extension,
          'XML',
          context,
        ],
      },
    ],
  ),
  killChannel: of('killChannel', [leg, near('USER_BUSY')], esl.killChannel, (a, b) => words('uuid_kill', a, b)),
  hangUpMatching: of(
    'hangUpMatching',
    [near('switchyard_grant'), near(LEG), near('CALL_REJECTED')],
    esl.hangUpMatching,
    (variable, value, cause) => words('hupall', cause, variable, value),
  ),
  channelExists: of('channelExists', [leg], esl.channelExists, (a) => words('uuid_exists', a)),
  dumpChannel: of('dumpChannel', [leg], esl.dumpChannel, (a) => words('uuid_dump', a, 'json')),
  flushUserCache: of('flushUserCache', [near('1001'), near('a.test')], esl.flushUserCache, (a, b) =>
    words('xml_flush_cache', 'id', a, b),
  ),
  rescanProfile: of('rescanProfile', [near('internal')], esl.rescanProfile, (a) =>
    words('sofia', 'profile', a, 'rescan'),
  ),
  flushRegistration: of(
    'flushRegistration',
    [near('internal'), near('a84b4c76e66710@10.0.0.1')],
    esl.flushRegistration,
    (a, b) => words('sofia', 'profile', a, 'flush_inbound_reg', inert(b)),
  ),
  flushRegistrationsOf: of(
    'flushRegistrationsOf',
    [near('internal'), near('1001'), near('a.test')],
    esl.flushRegistrationsOf,
    (a, b, c) => words('sofia', 'profile', a, 'flush_inbound_reg', `${b}@${c}`),
  ),
  setVariable: of('setVariable', [leg, near('note'), anyText], esl.setVariable, (a, b, c) =>
    words('uuid_setvar', a, b, ...(c === '' ? [] : [inert(c)])),
  ),
  readVariable: of('readVariable', [leg, near('note')], esl.readVariable, (a, b) => words('uuid_getvar', a, b)),
  holdChannel: of('holdChannel', [leg], esl.holdChannel, (a) => words('uuid_hold', a)),
  unholdChannel: of('unholdChannel', [leg], esl.unholdChannel, (a) => words('uuid_hold', 'off', a)),
  transferChannel: of(
    'transferChannel',
    [leg, near('1003'), near('users'), fc.constantFrom('own' as const, 'other' as const, 'both' as const)],
    (legId, extension, context, whose) => esl.transferChannel(legId, { extension, context }, whose),
    (legId, extension, context, whose) =>
      words(
        'uuid_transfer',
        legId,
        ...{ own: [], other: ['-bleg'], both: ['-both'] }[whose],
        extension,
        'XML',
        context,
      ),
  ),
  sendDtmf: of('sendDtmf', [leg, near('12#*'), number], esl.sendDtmf, (a, b, c) =>
    words('uuid_send_dtmf', a, `${b}@${Math.trunc(c!)}`),
  ),
  playFile: of(
    'playFile',
    [leg, near('tone_stream://%(200,0,440)'), fc.constantFrom('aleg' as const, 'bleg' as const, 'both' as const)],
    esl.playFile,
    (a, b, c) => words('uuid_broadcast', a, inert(b), c!),
  ),
  startLegRecording: of('startLegRecording', [leg, path], esl.startLegRecording, (a, b) =>
    words('uuid_record', a, 'start', inert(b), 0, '{RECORD_STEREO=true}'),
  ),
  stopLegRecording: of('stopLegRecording', [leg, path], esl.stopLegRecording, (a, b) =>
    words('uuid_record', a, 'stop', inert(b)),
  ),
  listLegRecordings: of('listLegRecordings', [leg], esl.listLegRecordings, (a) => words('uuid_buglist', a)),
  readGlobal: of('readGlobal', [near('recordings_dir')], esl.readGlobal, (a) => words('global_getvar', a)),
  weighFiles: of('weighFiles', [fc.array(path, { maxLength: 60 })], esl.weighFiles, (list) =>
    words('spawn_stream', 'stat', '-c', '%s:%n', ...list.map(inert)),
  ),
  hashFile: of('hashFile', [path], esl.hashFile, (a) => words('spawn_stream', 'sha256sum', inert(a))),
  printFile: of('printFile', [path], esl.printFile, (a) => words('spawn_stream', 'base64', '-w0', inert(a))),
  removeFile: of('removeFile', [path], esl.removeFile, (a) => words('spawn_stream', 'rm', '-f', inert(a))),
  askFreeSpace: of('askFreeSpace', [path], esl.askFreeSpace, (a) => words('spawn_stream', 'df', '-Pk', inert(a))),
  putFile: of('putFile', [path, near(URL), number], esl.putFile, (a, b, c) =>
    words(
      ...'spawn_stream curl -s --max-time'.split(' '),
      Math.ceil(c),
      ...'--connect-timeout 10 -o /dev/null -w %{http_code} -T'.split(' '),
      inert(a),
      b,
    ),
  ),
  postFile: of('postFile', [path, near(URL)], esl.postFile, (a, b) =>
    words('curl_sendfile', b, `file=${a}`, 'nopost', 'none'),
  ),
  copyMediaCounters: of('copyMediaCounters', [leg], esl.copyMediaCounters, (a) => words('uuid_set_media_stats', a)),
  readMediaCounters: of('readMediaCounters', [leg], esl.readMediaCounters, (a) => [
    { words: ['eval', `uuid:${a}`], rest: COUNTERS },
  ]),
  fetchFile: of(
    'fetchFile',
    [fc.constantFrom('curl' as const, 'wget' as const), near(URL), path, number],
    esl.fetchFile,
    (program, url, to, seconds) =>
      program === 'curl'
        ? words(
            ...'spawn_stream curl -s -f --max-time'.split(' '),
            Math.ceil(seconds),
            '--connect-timeout',
            5,
            '-o',
            to,
            url,
          )
        : words(...'spawn_stream wget -q -T'.split(' '), Math.ceil(seconds), '-O', to, url),
  ),
  replaceFile: of('replaceFile', [path, path], esl.replaceFile, (a, b) => words('spawn_stream', 'mv', '-f', a, b)),
  showBackground: of('showBackground', [session, path], esl.showBackground, (a, b) =>
    words('conference', a, 'vid-bgimg', b),
  ),
  hideBackground: of('hideBackground', [session, path], esl.hideBackground, (a, b) => [
    { words: ['conference', a, 'vid-bgimg', `${b}.none`] },
    { words: ['conference', a, 'vid-bgimg', 'clear'] },
  ]),
  listMemberFlags: of('listMemberFlags', [session], esl.listMemberFlags, (a) => words('conference', a, 'list')),
  listRoom: of('listRoom', [session], esl.listRoom, (a) => words('conference', a, 'json_list')),
  switchMember: of(
    'switchMember',
    [session, member, fc.constantFrom('mute' as const, 'undeaf' as const, 'vmute' as const)],
    esl.switchMember,
    (a, b, c) => words('conference', a, c, b),
  ),
  hangUpMember: of('hangUpMember', [session, member], esl.hangUpMember, (a, b) => words('conference', a, 'hup', b)),
  toggleFloor: of('toggleFloor', [session, one], esl.toggleFloor, (a, b) => words('conference', a, 'floor', b)),
  forceVideoFloor: of('forceVideoFloor', [session, one], esl.forceVideoFloor, (a, b) =>
    words('conference', a, 'vid-floor', b, 'force'),
  ),
  clearVideoFloor: of('clearVideoFloor', [session], esl.clearVideoFloor, (a) =>
    words('conference', a, 'clear-vid-floor'),
  ),
  setLayout: of('setLayout', [session, fc.oneof(near('2x2'), near('group:grid'))], esl.setLayout, (a, b) =>
    words('conference', a, 'vid-layout', b),
  ),
  lockRoom: of('lockRoom', [session, fc.boolean()], esl.lockRoom, (a, b) =>
    words('conference', a, b ? 'lock' : 'unlock'),
  ),
  setVolume: of(
    'setVolume',
    [session, one, fc.constantFrom('in' as const, 'out' as const), number],
    esl.setVolume,
    (a, b, c, d) => words('conference', a, `volume_${c}`, b, d),
  ),
  setLayer: of('setLayer', [session, one, number], esl.setLayer, (a, b, c) =>
    words('conference', a, 'vid-layer', b, c),
  ),
  setReservation: of(
    'setReservation',
    [session, one, fc.oneof(near('presenter'), fc.constant(null))],
    esl.setReservation,
    (a, b, c) => words('conference', a, 'vid-res-id', b, ...(c === null ? ['clear'] : [c, 'force'])),
  ),
  setBanner: of('setBanner', [session, one, fc.oneof(anyText, fc.constant(null))], esl.setBanner, (a, b, c) =>
    words('conference', a, 'vid-banner', b, c === null || c === '' ? 'clear' : `decoded:${inert(c)}`),
  ),
  limitVideo: of('limitVideo', [session, one, fc.oneof(number, fc.constant(null))], esl.limitVideo, (a, b, c) =>
    c === null
      ? words('conference', a, 'vid-codec-group', b, 'clear')
      : [
          { words: ['conference', a, 'setvar', 'STEP', 'STEP'] },
          { words: ['conference', a, 'vid-codec-group', String(b), 'STEP'] },
        ],
  ),
  setFrameRate: of('setFrameRate', [session, number], esl.setFrameRate, (a, b) => words('conference', a, 'vid-fps', b)),
  setCanvasSize: of('setCanvasSize', [session, number, number], esl.setCanvasSize, (a, b, c) =>
    words('conference', a, 'vid-res', `${b}x${c}`),
  ),
  setEntrySound: of(
    'setEntrySound',
    [
      session,
      fc.constantFrom('enter' as const, 'exit' as const),
      fc.oneof(near('tone_stream://%(1,0,4)'), fc.constant(null)),
    ],
    esl.setEntrySound,
    (a, b, c) =>
      c === null
        ? words('conference', a, `${b}_sound`, 'off')
        : [
            { words: ['conference', a, `${b}_sound`, 'file', inert(c)] },
            { words: ['conference', a, `${b}_sound`, 'on'] },
          ],
  ),
  setMusic: of('setMusic', [session, near('silence_stream://20')], esl.setMusic, (a, b) =>
    words('conference', a, 'moh', inert(b)),
  ),
  playInRoom: of(
    'playInRoom',
    [session, near('tone_stream://%(1,0,4)'), fc.oneof(one, fc.constant(undefined))],
    esl.playInRoom,
    (a, b, c) => words('conference', a, 'play', inert(b), ...(c === undefined ? [] : [c])),
  ),
  stopPlayingInRoom: of(
    'stopPlayingInRoom',
    [session, fc.oneof(one, fc.constant(undefined))],
    esl.stopPlayingInRoom,
    (a, b) => words('conference', a, 'stop', 'all', ...(b === undefined ? [] : [b])),
  ),
  sayInRoom: of('sayInRoom', [session, anyText, fc.oneof(one, fc.constant(undefined))], esl.sayInRoom, (a, b, c) => [
    {
      words: ['conference', a, ...(c === undefined ? ['say'] : ['saymember', String(c)])],
      rest: inert(b).replace(/^[\s#]+/, ''),
    },
  ]),
  writeSnapshot: of('writeSnapshot', [session, path], esl.writeSnapshot, (a, b) =>
    words('conference', a, 'vid-write-png', inert(b)),
  ),
  recordRoom: of(
    'recordRoom',
    [session, fc.constantFrom('start' as const, 'stop' as const, 'check' as const), path],
    esl.recordRoom,
    (a, b, c) => words('conference', a, 'recording', b, inert(c)),
  ),
  showChannels: verb('showChannels', 'show channels as json'),
  showRegistrations: verb('showRegistrations', 'show registrations as json'),
  showRegistrationsOf: of(
    'showRegistrationsOf',
    [near('internal'), near('1001'), near('a.test')],
    esl.showRegistrationsOf,
    (a, b, c) => words('sofia', 'xmlstatus', 'profile', a, 'user', `${b}@${c}`),
  ),
  showBridges: verb('showBridges', 'show bridged_calls as json'),
  checkAcl: of('checkAcl', [near('10.0.0.1'), near('esl')], esl.checkAcl, (a, b) => words('acl', a, b)),
  locateConfiguration: of('locateConfiguration', [near('acl.conf')], esl.locateConfiguration, (a) =>
    words(...'xml_locate configuration configuration name'.split(' '), a),
  ),
  moduleExists: of('moduleExists', [near('mod_av')], esl.moduleExists, (a) => words('module_exists', a)),
  listFolder: of('listFolder', [path], esl.listFolder, (a) => words('spawn_stream', 'ls', '-1', inert(a))),
  readUptime: verb('readUptime', 'uptime ms'),
  askStatus: verb('askStatus', 'status'),
  syncClockWhenIdle: verb('syncClockWhenIdle', 'fsctl sync_clock_when_idle'),
  reloadAcl: verb('reloadAcl', 'reloadacl'),
  probe: verb('probe', 'echo alive'),
  listRooms: verb('listRooms', 'conference json_list'),
  listRoomFlags: verb('listRoomFlags', 'conference list'),
  askCurl: verb('askCurl', 'spawn_stream curl --version'),
};

/** What the counters of a channel are read by: the only expansions that a command of ours holds. */
const COUNTERS = [
  ...['audio', 'video'].flatMap((kind) =>
    ['packet_count', 'flaw_total', 'media_bytes'].map((name) => `\${variable_rtp_${kind}_in_${name}}`),
  ),
  '${variable_rtp_audio_in_mos}',
].join(';');

/** What the room of the Event Socket gives out besides builders. */
const NO_BUILDERS =
  /^(parse|read(Dump|LegRecordings|Sent|Tones)$|is(LeftRecord|PhoneLost)$|writeTones$|(played|rendered)Ms$|assert|escape|inert|open|create|hangupLegs$|pauseBefore$|EslError$|(user|loopback)Endpoint$)/;

/** @returns builders that no grammar knows, or that are gone */
export function missingBuilders(): string[] {
  const real = Object.entries(esl).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
  const wanted = real.filter((name) => !NO_BUILDERS.test(name));
  return [
    ...wanted.filter((name) => !BUILDERS[name]),
    ...Object.keys(BUILDERS).filter((name) => !wanted.includes(name)),
  ];
}

export const anyCommand: fc.Arbitrary<Built> = fc.oneof(
  { weight: 6, arbitrary: BUILDERS.originateCall! },
  ...Object.values(BUILDERS).map((arbitrary) => ({ weight: 1, arbitrary })),
);
