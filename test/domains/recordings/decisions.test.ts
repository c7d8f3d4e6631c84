/** The sums of the ledger and the decisions about recordings, without a clock, a node or a database. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pauseBeforeUpload, uploadSeconds } from '../../../src/domains/recordings/upload/pull-from-node';
import { drawLedger } from '../../../src/domains/recordings/ledger';
import { cutPieces, readRange } from '../../../src/domains/recordings/playback/playback';
import { inspectMedia } from '../../../src/domains/recordings/playback/media-file';
import type { PartRow } from '../../../src/domains/recordings/parts.store';
import type { GapReason, RecordingState } from '../../../src/domains/recordings/recordings.store';
import {
  decideAfterCheck,
  decideState,
  decideStep,
  type Target,
} from '../../../src/domains/recordings/control/state-machine';
import { decideGrowth } from '../../../src/domains/recordings/control/growth-monitor';
import {
  listLegRecordings,
  parseFreeBytes,
  parseHash,
  parseSizes,
  postFile,
  putFile,
  readLegRecordings,
  readSent,
  startLegRecording,
} from '../../../src/freeswitch/esl';
import { mp4Of, wavOf } from './fake-node';

const at = (seconds: number): Date => new Date(seconds * 1000);
const part = (o: Partial<PartRow>): PartRow =>
  ({
    number: 1,
    state: 'stored',
    started_at: at(0),
    ended_at: at(10),
    node_ms: null,
    media_ms: null,
    playable: true,
    ...o,
  }) as PartRow;
const gap = (reason: GapReason, from: number, to: number | null) => ({
  reason,
  from_at: at(from),
  to_at: to === null ? null : at(to),
});

describe('the ledger', () => {
  const ended = { started_at: at(0), ended_at: at(30) };
  test('does not count a pause that was asked for as missing', () => {
    const parts = [
      part({ media_ms: '10000' }),
      part({ number: 2, started_at: at(20), ended_at: at(30), media_ms: '10000' }),
    ];
    expect(drawLedger(ended, parts, [gap('paused', 10, 20)], 0)).toMatchObject({
      expectedSeconds: 20,
      completeness: 1,
    });
  });
  test('counts an interruption, a part that is absent and one that can not be played', () => {
    const parts = [
      part({ media_ms: '10000' }),
      part({ number: 2, state: 'absent', started_at: at(12), ended_at: at(20) }),
      part({ number: 3, playable: false, started_at: at(20), ended_at: at(30) }),
    ];
    const ledger = drawLedger(ended, parts, [gap('interrupted', 10, 12)], 0);
    expect(ledger).toMatchObject({ expectedSeconds: 30, recordedSeconds: 10, completeness: 0.333 });
    expect(ledger.missing.map((m) => [m.reason, m.part])).toEqual([
      ['interrupted', null],
      ['absent', 2],
      ['damaged', 3],
    ]);
  });
  test('tells what a file lacks of its time: the end where its node died, anywhere where it was frozen', () => {
    const killed = part({ media_ms: '8000', end_reason: 'node_died' });
    expect(drawLedger({ started_at: at(0), ended_at: at(10) }, [killed], [], 0)).toMatchObject({
      completeness: 0.8,
      missing: [{ reason: 'not_written', from: at(8), to: at(10), part: 1, ms: 2000 }],
    });
    const frozen = part({ media_ms: '3000', end_reason: 'call_ended' });
    expect(drawLedger({ started_at: at(0), ended_at: at(10) }, [frozen], [], 0).missing).toEqual([
      { reason: 'not_written', from: at(0), to: at(10), part: 1, ms: 7000 },
    ]);
  });
  test('tells a hold, and misses nothing for it', () => {
    const call = { started_at: at(0), ended_at: at(10) };
    const held = [gap('held', 2, 7)];
    const silent = drawLedger(call, [part({ media_ms: '5000', end_reason: 'call_ended' })], held, 0);
    expect(silent).toMatchObject({ expectedSeconds: 5, recordedSeconds: 5, completeness: 1 });
    expect(silent.missing).toEqual([{ reason: 'held', from: at(2), to: at(7), part: null, ms: 5000 }]);
    // Music that its other side heard was written.
    const withMusic = drawLedger(call, [part({ media_ms: '10000', end_reason: 'call_ended' })], held, 0);
    expect(withMusic).toMatchObject({ expectedSeconds: 10, recordedSeconds: 10, completeness: 1, missing: [] });
    const running = part({ state: 'recording', ended_at: null });
    const now = drawLedger({ started_at: at(0), ended_at: null }, [running], [gap('held', 2, null)], 8000);
    expect(now).toMatchObject({ recordedSeconds: 2, completeness: 1 });
  });
  test('counts what runs until now, less the time it stood still', () => {
    const running = part({ state: 'recording', ended_at: null });
    const ledger = drawLedger({ started_at: at(0), ended_at: null }, [running], [gap('stalled', 30, null)], 40_000);
    expect(ledger).toMatchObject({ expectedSeconds: 40, recordedSeconds: 30, completeness: 0.75 });
  });
});

test.each<[Parameters<typeof decideState>[0], PartRow['state'][], string]>([
  ['recording', [], 'starting'],
  ['recording', ['stored', 'recording'], 'recording'],
  ['paused', ['stopping'], 'stopping'],
  ['paused', ['uploading'], 'paused'],
  ['stopped', ['stored', 'uploading'], 'uploading'],
  ['stopped', ['stored', 'absent'], 'absent'],
  ['stopped', ['absent', 'failed'], 'failed'],
  ['stopped', ['stored', 'stored'], 'completed'],
  ['stopped', [], 'failed'],
])('desired %s with parts %j is %s', (desired, states, expected) => {
  const parts = states.map((state) => part({ state }));
  expect(decideState(desired, parts, { state: 'starting', isInterrupted: false })).toBe(expected);
});

describe('a state goes forward only', () => {
  const told = (state: RecordingState, isInterrupted = false) => ({ state, isInterrupted });
  test.each<[string, RecordingState, ReturnType<typeof told>, PartRow['state'][]]>([
    [
      'a file that ended with its call leaves it recording until that is known',
      'recording',
      told('recording'),
      ['uploading'],
    ],
    ['one that is resumed stays paused until it is recorded', 'paused', told('paused'), ['stored']],
    ['a room on its way to another node is interrupted', 'interrupted', told('recording', true), ['absent']],
    ['it goes on from there', 'recording', told('interrupted', true), ['absent', 'recording']],
  ])('%s', (_what, expected, before, states) => {
    const parts = states.map((state) => part({ state }));
    expect(decideState('recording', parts, before)).toBe(expected);
  });
  test('a part that never began does not make failed what others recorded', () => {
    const never = part({ state: 'failed', started_at: null });
    expect(decideState('stopped', [never, part({})], told('uploading'))).toBe('completed');
    expect(decideState('stopped', [never], told('starting'))).toBe('failed');
  });
});

describe('the next step', () => {
  const ended = (o: Partial<PartRow> = {}) => part({ ended_at: at(10), end_reason: null, ...o });
  const there: Target = { is: 'there', nodeId: 'n', nodeName: 'n', sessionId: 's', legId: null };
  const desired = (desired: 'recording' | 'paused' | 'stopped', tries = 0) => ({ desired, tries });
  const living = (state: PartRow['state'], session = 's') =>
    part({ state, session_id: session, commanded_at: at(0), ended_at: null });
  test.each<[string, ReturnType<typeof decideStep>['do'], Parameters<typeof decideStep>]>([
    ['a desired change without a part', 'start', [desired('recording'), [], there, 0]],
    ['a desired change tried too often', 'give up', [desired('recording', 5), [], there, 0]],
    ['a part that runs', 'nothing', [desired('recording'), [living('recording')], there, 9000]],
    ['a part of the session before', 'check', [desired('recording'), [living('recording', 'old')], there, 9000]],
    ['a start just sent', 'look again', [desired('recording'), [living('starting')], there, 500]],
    ['a start without an event', 'check', [desired('recording'), [living('starting')], there, 9000]],
    ['a pause', 'stop', [desired('paused'), [living('recording')], there, 9000]],
    ['a stop without an event', 'check', [desired('stopped'), [living('stopping')], there, 9000]],
    ['a room that is over', 'finish', [desired('recording'), [part({})], { is: 'over', reason: 'room_ended' }, 0]],
    ['a room on its way', 'look again', [desired('recording'), [part({})], { is: 'awaited' }, 0]],
    ['a file that ended by itself a moment ago', 'look again', [desired('recording'), [ended()], there, 10_300]],
    ['one whose room and node are still there', 'explain', [desired('recording'), [ended()], there, 10_800]],
    ['one whose room moves', 'explain', [desired('recording'), [ended()], { is: 'awaited', tornOff: 'moved' }, 10_100]],
    ['one whose room is empty', 'look again', [desired('recording'), [ended()], { is: 'awaited' }, 60_000]],
    ['an end that is explained', 'start', [desired('recording'), [ended({ end_reason: 'moved' })], there, 10_100]],
    ['all done', 'nothing', [desired('stopped'), [part({})], there, 0]],
  ])('of %s: %s', (_what, expected, args) => {
    expect(decideStep(...args).do).toBe(expected);
  });
  test('after asking the node follows what is true there', () => {
    expect(decideAfterCheck(desired('recording'), living('starting'), there, true).do).toBe('mark recording');
    expect(decideAfterCheck(desired('stopped'), living('stopping'), there, true).do).toBe('stop');
    expect(decideAfterCheck(desired('recording', 1), living('starting'), there, false).do).toBe('start again');
    expect(decideAfterCheck(desired('recording', 5), living('starting'), there, false).do).toBe('give up');
    expect(decideAfterCheck(desired('recording'), living('recording'), there, false).do).toBe('mark ended');
  });
});

test('tells growth from standing still', () => {
  const seen = { format: 'wav' as const, seen_bytes: '100', grown_at: at(0), started_at: at(0), stalled: false };
  expect(decideGrowth(seen, 200, 99_000)).toBe('grows');
  expect(decideGrowth(seen, 100, 10_000)).toBe('still');
  expect(decideGrowth(seen, undefined, 20_000)).toBe('stalls now');
  expect(decideGrowth({ ...seen, stalled: true }, 100, 99_000)).toBe('still');
  expect(decideGrowth({ ...seen, stalled: true }, 101, 99_000)).toBe('grows again');
});

test('gives an upload time by its size, and waits longer after each failure, up to a minute', () => {
  expect([uploadSeconds(0), uploadSeconds(500_000_000), uploadSeconds(1e12)]).toEqual([60, 900, 900]);
  expect([1, 2, 3, 8].map(pauseBeforeUpload)).toEqual([1000, 2000, 4000, 60_000]);
});

test.each<[string | undefined, ReturnType<typeof readRange>]>([
  [undefined, undefined],
  ['bytes=0-9', { from: 0, to: 9 }],
  ['bytes=90-', { from: 90, to: 99 }],
  ['bytes=-5', { from: 95, to: 99 }],
  ['bytes=50-500', { from: 50, to: 99 }],
  ['bytes=100-', 'bad'],
  ['bytes=9-1', 'bad'],
  ['bytes=-', undefined],
  ['lines=1-2', undefined],
])('the range %s', (header, expected) => expect(readRange(header, 100)).toEqual(expected));

test('cuts a range out of several pieces', () => {
  const pieces = [
    { bytes: Buffer.from('head') },
    { key: 'a', from: 44, length: 10 },
    { key: 'b', from: 44, length: 10 },
  ];
  expect(cutPieces(pieces, { from: 2, to: 15 })).toEqual([
    { bytes: Buffer.from('ad') },
    { key: 'a', from: 44, length: 10 },
    { key: 'b', from: 44, length: 2 },
  ]);
});

describe('a file', () => {
  let dir: string;
  beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'media-'))));
  afterAll(() => rm(dir, { recursive: true, force: true }));
  const look = async (bytes: Buffer, format: 'mp4' | 'wav') => {
    const file = join(dir, 'file');
    await writeFile(file, bytes);
    return inspectMedia(file, format);
  };
  test('of sound says its length, also where its writer was killed and left none', async () => {
    const wav = wavOf(32_000);
    expect(await look(wav, 'wav')).toMatchObject({ playable: true, durationMs: 1000 });
    wav.writeUInt32LE(0, 40);
    expect(await look(wav, 'wav')).toMatchObject({ playable: true, durationMs: 1000 });
  });
  test('of videos says its length by its index, and is damaged without one', async () => {
    const whole = mp4Of(500, 7500);
    expect(await look(whole, 'mp4')).toEqual({ playable: true, durationMs: 7500 });
    expect(await look(whole.subarray(0, -20), 'mp4')).toMatchObject({ playable: false });
    expect(await look(whole.subarray(0, 48 + 500), 'mp4')).toMatchObject({ playable: false });
    const ofNothing = Buffer.from(whole);
    ofNothing.writeUInt32BE(0, whole.length - 4);
    expect(await look(ofNothing, 'mp4')).toMatchObject({ playable: false });
    expect(await look(Buffer.alloc(0), 'mp4')).toMatchObject({ playable: false });
  });
});

describe('commands about files', () => {
  const leg = '0198c0de-0000-7000-8000-000000000001';
  test('hold a path as one word, and an address that is nothing else', () => {
    expect(startLegRecording(leg, '/a b/c.wav').line).toBe(
      `uuid_record ${leg} start /a\\sb/c.wav 0 {RECORD_STEREO=true}`,
    );
    expect(listLegRecordings(leg).line).toBe(`uuid_buglist ${leg}`);
    expect(putFile('/a/b.mp4', 'http://h:1/x?token=a.b', 60).line).toContain('-T /a/b.mp4 http://h:1/x?token=a.b');
    for (const url of ['http://h/x y', 'http://h/$(x)', 'file:///etc/passwd', "http://h/'", 'http://h/x;id']) {
      expect(() => putFile('/a', url, 60)).toThrow();
      expect(() => postFile('/a', url)).toThrow();
    }
    expect(() => postFile('/a b', 'http://h/x')).toThrow();
  });
  test('are answered as FreeSWITCH 1.10.12 answers them', () => {
    expect([...parseSizes('48:/r/a.mp4\n524432:/r/b c.wav\n')]).toEqual([
      ['/r/a.mp4', 48],
      ['/r/b c.wav', 524_432],
    ]);
    expect(parseHash(`${'a'.repeat(64)}  /r/a.mp4\n`)).toBe('a'.repeat(64));
    expect(parseHash('-ERR no reply')).toBeUndefined();
    expect(
      parseFreeBytes(
        'Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 264212084 25404888 80986024 24% /\n',
      ),
    ).toBe(80_986_024 * 1024);
    expect(['+200 Ok', '-422 Err', '-0 Err', '200', '000', ''].map(readSent)).toEqual([200, 422, 0, 200, 0, 0]);
    const bugs =
      '<media-bugs>\n <media-bug>\n  <function>session_record</function>\n  <target>/r/call.wav</target>\n </media-bug>\n</media-bugs>';
    expect(readLegRecordings(bugs)).toEqual(['/r/call.wav']);
  });
});
