/** What fuzzing has found, each as the smallest input that showed it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { choosePieces } from '../../src/domains/recordings/playback/playback';
import { inspectMedia } from '../../src/domains/recordings/playback/media-file';
import type { PartRow } from '../../src/domains/recordings/parts.store';
import type { RecordingRow } from '../../src/domains/recordings/recordings.store';
import type { RecordingStorage } from '../../src/domains/recordings/storage/storage';
import * as esl from '../../src/freeswitch/esl';
import { FrameReader } from '../../src/freeswitch/esl/connection/framing';
import { parseRawEvent, typedEvent } from '../../src/freeswitch/esl/events/parse-event';
import { dialStringTo, NOT_REGISTERED, refusePlan } from '../../src/freeswitch/xml';
import { readFormFile } from '../../src/http/nodes/recording.endpoint';
import { readDialString } from '../../scripts/bench/fuzz/oracles/dial';
import { cutEvery } from '../../scripts/bench/fuzz/grammar/text';

const LEG = '0198c0de-0000-7000-8000-000000000001';
const SWITCHES_CHECKS_OFF = 'origination_nested_vars=true';

describe('FreeSWITCH looks for a word anywhere in a dial string, and then runs what variables hold', () => {
  test("a caller's name can not be that word", () => {
    const { line } = esl.originateCall({
      legId: LEG,
      endpoint: 'user/1001@a.test',
      variables: { origination_caller_id_name: SWITCHES_CHECKS_OFF },
      ringTimeoutSeconds: 30,
      destination: { extension: '1002', dialplan: 'XML', context: 'users' },
    });
    expect(line.toLowerCase()).not.toContain(SWITCHES_CHECKS_OFF);
    expect(readDialString(line.split(' ')[1]!)?.isNested).toBe(false);
  });

  test('a phone whose contact holds it is not rung', () => {
    const contact = {
      node: 'here',
      host: '10.0.0.1',
      internodePort: 5080,
      contact: `sip:bob@10.0.0.1;${SWITCHES_CHECKS_OFF}`,
      profile: 'internal',
      source: { networkIp: '10.0.0.1', networkPort: 5060, transport: 'udp' },
    };
    const o = { username: 'bob', domain: 'a.test', thisNode: 'here', contacts: [contact], callId: LEG };
    const dial = (contacts: typeof o.contacts): string =>
      dialStringTo({ ...o, contacts, token: () => 'x', createId: () => LEG });
    expect(dial([contact])).toBe(NOT_REGISTERED);
    expect(dial([{ ...contact, contact: 'sip:bob@10.0.0.1' }])).toBe('sofia/internal/sip:bob@10.0.0.1');
  });
});

test.each<[string, () => unknown]>([
  ['an empty path, whose place the next word would take', () => esl.startLegRecording(LEG, '')],
  ['no path at all in a list', () => esl.weighFiles([''])],
  ['an application in the place of a sound', () => esl.playFile(LEG, 'system::touch x')],
  ['a member that is a command', () => esl.switchMember(LEG, '7 api' as never, 'mute')],
  ['variables before an endpoint', () => originate('[execute_on_answer=x]user/1@a')],
  ['an empty branch of an endpoint', () => originate(',user/1@a')],
  ['a digit that lasts no time', () => esl.sendDtmf(LEG, '1', NaN)],
])('a command is refused with a code: %s', (_what, build) => {
  expect(build).toThrow(expect.objectContaining({ code: expect.any(String) as string }));
});

const originate = (endpoint: string): esl.ApiCommand =>
  esl.originateCall({
    legId: LEG,
    endpoint,
    variables: {},
    ringTimeoutSeconds: 1,
    destination: { extension: '1', dialplan: 'XML', context: 'users' },
  });

test('half a surrogate pair in a banner is written as U+FFFD, and nothing throws', () => {
  expect(esl.setBanner(LEG, 1, '\ud800').line).toMatch(/vid-banner 1 %EF%BF%BD$/);
});

test.each(['\n\napi shutdown\n\n', '$${base_dir}', 'a\u0000b', '\ud800'])(
  'a context that a node makes up, %j, is one line of the answer and no global variable',
  (context) => {
    const xml = refusePlan({ context, sipStatus: 404, reason: 'No such context' });
    expect(xml).not.toMatch(/[\u0000-\u001f]|\$\$?\{|[\ud800-\udfff]/);
  },
);

test.each<[string, string]>([
  ['an object', '{"Event-Name":"HEARTBEAT","Uptime-msec":{"toString":1}}'],
  ['past all dates', '{"Event-Name":"HEARTBEAT","Event-Date-Timestamp":"1e308"}'],
  ['past all columns', '{"Event-Name":"HEARTBEAT","Session-Count":"99999999999"}'],
  ['no port', '{"Event-Name":"CUSTOM","Event-Subclass":"sofia::register","network-port":"70000"}'],
])('a number in an event that is %s counts as none', (_what, text) => {
  const event = typedEvent(parseRawEvent(Buffer.from(text))!);
  for (const value of Object.values(event as object)) {
    if (typeof value === 'number') expect(Math.abs(value)).toBeLessThan(8.64e15);
  }
  expect(event).toMatchObject(event!.type === 'heartbeat' ? { sessionCount: 0, uptimeMs: 0 } : { networkPort: 0 });
});

test('a NUL in an event, which no store takes, becomes U+FFFD', () => {
  const raw = parseRawEvent(Buffer.from('{"Event-Name":"CHANNEL_CREATE","Caller-Context":"a\\u0000\\ud800"}'))!;
  expect(typedEvent(raw)).toMatchObject({ context: 'a\ufffd\ufffd' });
});

test.each([32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1])(
  'a head of %i bytes is taken or refused however it is cut',
  (length) => {
    const bytes = Buffer.from(`X: ${'a'.repeat(length - 3)}\n\n`);
    const outcomes = [bytes.length, 1000, 1].map((size) => {
      const frames: number[] = [];
      const reader = new FrameReader(() => frames.push(1));
      try {
        for (const part of cutEvery(bytes, size)) reader.push(part);
        return frames.length;
      } catch {
        return 'refused';
      }
    });
    expect(new Set(outcomes).size).toBe(1);
  },
);

describe('a recording', () => {
  const dir = mkdtempSync(join(tmpdir(), 'fuzz-found-'));
  const file = join(dir, 'recording');
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test('of very many empty chunks is not looked through to its end', async () => {
    const chunk = Buffer.alloc(8, 'JUNK');
    chunk.writeUInt32LE(0, 4);
    const sound = Buffer.from(
      'fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x04\0\0\0abcd',
      'latin1',
    );
    const head = Buffer.from('RIFF\0\0\0\0WAVE', 'latin1');
    writeFileSync(file, Buffer.concat([head, ...Array<Buffer>(10).fill(chunk), sound]));
    expect(await inspectMedia(file, 'wav')).toMatchObject({ playable: true });
    writeFileSync(file, Buffer.concat([head, ...Array<Buffer>(20_000).fill(chunk), sound]));
    expect(await inspectMedia(file, 'wav')).toEqual({ playable: false, durationMs: null });
  });

  test('that says it lasts for centuries is not playable: no column holds its length', async () => {
    const mvhd = Buffer.alloc(8 + 112);
    mvhd.writeUInt32BE(mvhd.length);
    mvhd.write('mvhd', 4);
    mvhd[8] = 1;
    mvhd.writeUInt32BE(1, 8 + 20);
    mvhd.writeBigUInt64BE(2n ** 63n, 8 + 24);
    const moov = Buffer.alloc(8, 'moov');
    moov.writeUInt32BE(8 + mvhd.length);
    moov.write('moov', 4);
    writeFileSync(file, Buffer.concat([moov, mvhd]));
    expect(await inspectMedia(file, 'mp4')).toEqual({ playable: false, durationMs: null });
  });

  test('of no bytes is left out where several are joined', async () => {
    const opened: unknown[] = [];
    const open = (...args: unknown[]): Promise<Readable> => {
      opened.push(args);
      return Promise.resolve(Readable.from([]));
    };
    const part = (number: number): PartRow =>
      ({ number, state: 'stored', storage_key: 'k', bytes: '0', playable: null }) as unknown as PartRow;
    const recording = { format: 'wav', deleted_at: null } as unknown as RecordingRow;
    const storage = { open } as unknown as RecordingStorage;
    await expect(choosePieces({ storage }, recording, [part(1), part(2)], undefined)).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(opened).toEqual([]);
  });

  test('in a form whose head is too long is refused, whether it comes in one read or in many', async () => {
    const form = Buffer.from(`--x\r\nX: ${'a'.repeat(5000)}\r\n\r\nfile`);
    for (const size of [form.length, 100, 1]) {
      const read = async (): Promise<void> => {
        for await (const _chunk of readFormFile(Readable.from(cutEvery(form, size)) as AsyncIterable<Buffer>, 4));
      };
      await expect(read()).rejects.toMatchObject({ code: 'unprocessable' });
    }
  });
});
