/** What Switchyard relies on of a room's sounds, video and recordings, and of the files they leave on the node. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseRooms } from '../../src/freeswitch/esl/listings/room-snapshot';
import { DOMAIN, PASSWORD } from './peers/answerer';
import type { Contract } from './describe-node';
import type { ContractPhone } from './harness';
import type { RawEvent } from './peers/raw-client';
import { BASE_PROFILE, MIXED_PROFILE } from './peers/rooms-answerer';
import { until } from '../until';
import { closeRoom, enter, isRoomEvent, tell } from './peers/room-guests';

const TONE = 'tone_stream://%(300,0,440)';
const LONG_TONE = 'tone_stream://%(60000,0,440)';
const VIDEO_PARAMETERS = /^\{video_time_audio=false,channels=1,samplerate=48000,vw=320,vh=240,fps=10\.00\}/;

export const roomMediaContract: Contract = (nodeUnderTest) => {
  const next = (room: string, action: string, also: (e: RawEvent) => boolean = () => true): Promise<RawEvent> =>
    nodeUnderTest().client.waitFor((e) => isRoomEvent(e, room, action) && also(e));
  const path = (name: string): string => join(nodeUnderTest().node.folder, name);
  const api = async (line: string): Promise<string> => (await nodeUnderTest().client.send(`api ${line}`)).body;

  describe('a room of sound', () => {
    let memberId = 0;
    beforeAll(async () => {
      nodeUnderTest().answerer.rooms.set('sound', { ...BASE_PROFILE });
      ({ memberId } = await enter(nodeUnderTest(), 'sound'));
    });
    afterAll(() => closeRoom(nodeUnderTest(), 'sound'));

    test('a sound for all is told when it begins and when it is over', async () => {
      expect(await tell(nodeUnderTest(), `sound play ${TONE}`)).toBe(`+OK (play) Playing file ${TONE}\n`);
      expect(await next('sound', 'play-file')).toMatchObject({ File: TONE, Async: 'false' });
      const done = await next('sound', 'play-file-done');
      expect(done.File).toBe(TONE);
      expect(Number(done.milliseconds)).toBeGreaterThan(0);
    });

    test('a sound for one is told of that one', async () => {
      expect(await tell(nodeUnderTest(), `sound play ${TONE} ${memberId}`)).toBe(
        `+OK (play) Playing file ${TONE} to member ${memberId}\n`,
      );
      expect(await next('sound', 'play-file-member')).toMatchObject({ File: TONE, 'Member-ID': String(memberId) });
      expect(await next('sound', 'play-file-member-done')).toMatchObject({ File: TONE });
    });

    test('what plays is stopped, counted, and told', async () => {
      await tell(nodeUnderTest(), `sound play ${LONG_TONE}`);
      expect(await tell(nodeUnderTest(), 'sound stop all')).toBe('+OK Stopped 1 files.\n');
      await next('sound', 'play-file-done', (e) => e.File === LONG_TONE);
      await tell(nodeUnderTest(), `sound play ${LONG_TONE} async`);
      expect(await tell(nodeUnderTest(), 'sound stop async')).toBe('+OK Stopped 1 files.\n');
      expect(await next('sound', 'play-file-done', (e) => e.Async === 'true')).toMatchObject({ File: LONG_TONE });
    });

    test('a file that is not there is refused', async () => {
      expect(await tell(nodeUnderTest(), 'sound play /nowhere.wav')).toBe(
        '-ERR (play) File: /nowhere.wav not found.\n',
      );
      expect(await next('sound', 'play-file', (e) => e.File === '/nowhere.wav')).toMatchObject({
        Error: 'File could not be played',
      });
      expect(await tell(nodeUnderTest(), `sound play /nowhere.wav ${memberId}`)).toBe(
        '-ERR (play) File: /nowhere.wav not found.\n',
      );
    });

    test('without a voice "say" is refused to all, and promised to one', async () => {
      expect(await tell(nodeUnderTest(), 'sound say hello')).toBe('-ERR (say) Error!\nsay <text>');
      expect(await tell(nodeUnderTest(), `sound saymember ${memberId} hello`)).toBe('+OK (saymember) OK\n');
      expect(await next('sound', 'speak-text-member')).toMatchObject({ Text: 'hello' });
    });

    test('entry sounds and music are changed while it runs', async () => {
      expect(await tell(nodeUnderTest(), `sound enter_sound file ${TONE}`)).toBe(
        `+OK sound enter sound file set to ${TONE}\n`,
      );
      expect(await tell(nodeUnderTest(), 'sound enter_sound off')).toBe(`+OK sound enter sounds off (${TONE})\n`);
      await next('sound', 'enter-sounds-off');
      expect(await tell(nodeUnderTest(), 'sound moh silence_stream://-1')).toBe('+OK moh\n');
    });

    test('a recording: started by its event, listed, paused, resumed, stopped, and its file as long as that', async () => {
      const file = path('one.wav');
      expect(await tell(nodeUnderTest(), `sound recording start ${file}`)).toBe(`+OK Record file ${file}\n`);
      expect(await next('sound', 'start-recording')).toMatchObject({ Path: file });
      expect(await tell(nodeUnderTest(), 'sound recording check')).toBe(`+OK Record file ${file}\n`);
      expect(await tell(nodeUnderTest(), `sound recording start ${file}`)).toBe(
        `-ERR file [${file}] is already being used for recording.\n`,
      );
      const recordings = async () => parseRooms(await tell(nodeUnderTest(), 'sound json_list'))[0]!.recordings;
      expect(await recordings()).toEqual([{ path: file, paused: false }]);
      await new Promise((done) => setTimeout(done, 600));
      expect(await tell(nodeUnderTest(), `sound recording pause ${file}`)).toBe(`+OK Pause recording file ${file}\n`);
      expect(await next('sound', 'pause-recording')).toMatchObject({ Path: file, 'Other-Recordings': 'true' });
      expect(await recordings()).toEqual([{ path: file, paused: true }]);
      expect(await tell(nodeUnderTest(), `sound recording resume ${file}`)).toBe(`+OK Resume recording file ${file}\n`);
      await next('sound', 'resume-recording');
      expect(await tell(nodeUnderTest(), `sound recording stop ${file}`)).toBe(
        `Stopped recording file ${file}\n+OK Stopped recording 0 files\n`,
      );
      const stop = await next('sound', 'stop-recording');
      expect(stop).toMatchObject({ Path: file, 'Other-Recordings': 'false', Samplerate: '48000' });
      expect(Number(stop['Milliseconds-Elapsed'])).toBeGreaterThan(400);
      expect(await tell(nodeUnderTest(), 'sound recording check')).toBe('-ERR Conference is not being recorded.\n');
      const { size } = await stat(file);
      expect(size).toBeGreaterThan(44 + 400 * 96);
      expect(await api(`spawn_stream stat -c %s:%n ${file} ${path('nothing')}`)).toBe(`${size}:${file}\n`);
      const hash = createHash('sha256')
        .update(await readFile(file))
        .digest('hex');
      expect(await api(`spawn_stream sha256sum ${file}`)).toBe(`${hash}  ${file}\n`);
    });

    test.each([
      ['a folder that can not be made', '/proc/none/one.wav'],
      ['an address where nobody answers', 'rtmp://127.0.0.1:1/app/key'],
    ])('a recording to %s: +OK, then the event says that it failed', async (_, target) => {
      expect(await tell(nodeUnderTest(), `sound recording start ${target}`)).toBe(`+OK Record file ${target}\n`);
      expect(await next('sound', 'start-recording', (e) => e.Path === target)).toMatchObject({
        Error: 'File could not be opened for recording',
      });
      expect(await next('sound', 'stop-recording', (e) => e.Path === target)).toMatchObject({
        'Milliseconds-Elapsed': '0',
      });
      expect(await tell(nodeUnderTest(), 'sound recording check')).toBe('-ERR Conference is not being recorded.\n');
    });

    test('when one of two recordings ends, "check" forgets the one begun after it, and the list does not', async () => {
      const [first, second] = [path('first.wav'), path('second.wav')];
      for (const file of [first, second]) {
        await tell(nodeUnderTest(), `sound recording start ${file}`);
        await next('sound', 'start-recording', (e) => e.Path === file);
      }
      await tell(nodeUnderTest(), `sound recording stop ${first}`);
      await next('sound', 'stop-recording', (e) => e.Path === first);
      await new Promise((done) => setTimeout(done, 100));
      expect(await tell(nodeUnderTest(), 'sound recording check')).toBe('-ERR Conference is not being recorded.\n');
      expect(parseRooms(await tell(nodeUnderTest(), 'sound json_list'))[0]!.recordings.map((r) => r.path)).toEqual([
        second,
      ]);
      await tell(nodeUnderTest(), 'sound recording stop all');
      await next('sound', 'stop-recording', (e) => e.Path === second);
    });

    test('a leg is recorded: both ends are told, and it is listed meanwhile', async () => {
      const file = path('leg.wav');
      const { legId } = await enter(nodeUnderTest(), 'sound');
      expect(await api(`uuid_record ${legId} start ${file} 0 {RECORD_STEREO=true}`)).toBe('+OK Success\n');
      await nodeUnderTest().client.waitFor((e) => e['Event-Name'] === 'RECORD_START' && e['Record-File-Path'] === file);
      expect(await api(`uuid_buglist ${legId}`)).toContain(
        `<function>session_record</function>\n  <target>${file}</target>`,
      );
      expect(await api(`uuid_record ${legId} stop ${file}`)).toBe('+OK Success\n');
      expect(
        await nodeUnderTest().client.waitFor(
          (e) => e['Event-Name'] === 'RECORD_STOP' && e['Record-File-Path'] === file,
        ),
      ).toMatchObject({ 'Unique-ID': legId });
      expect(await api(`uuid_record ${legId} stop ${file}`)).toBe('-ERR Cannot stop record session!\n');
      expect(await api('uuid_record no-such-leg start x')).toBe('-ERR Cannot locate session!\n');
    });

    test('figures of a channel are copied when that is asked for', async () => {
      expect(await api('uuid_set_media_stats no-such-leg')).toBe('-ERR No such channel no-such-leg!\n');
    });

    test('a file leaves the node by its own upload, comes over the socket, and is removed', async () => {
      const file = path('one.wav');
      const url = `${new URL(nodeUnderTest().answerer.xmlUrl).origin}/freeswitch/recordings/1?token=t`;
      expect(await api(`spawn_stream curl -s --max-time 20 -o /dev/null -w %{http_code} -T ${file} ${url}`)).toBe(
        '201',
      );
      const content = await readFile(file);
      expect(nodeUnderTest().answerer.uploads.at(-1)).toMatchObject({ path: '/freeswitch/recordings/1?token=t' });
      expect(nodeUnderTest().answerer.uploads.at(-1)!.body.equals(content)).toBe(true);
      expect(Buffer.from(await api(`spawn_stream base64 -w0 ${file}`), 'base64').equals(content)).toBe(true);
      expect(await api(`spawn_stream df -Pk ${nodeUnderTest().node.folder}`)).toMatch(
        /^Filesystem .*\n\S+ +\d+ +\d+ +\d+ /,
      );
      expect(await api(`spawn_stream rm -f ${file}`)).toBe('-ERR no reply\n');
      expect(await api(`spawn_stream stat -c %s:%n ${file}`)).not.toContain(file + '\n');
      expect(await api('global_getvar recordings_dir')).toMatch(/^\//);
    });
  });

  describe('a room with a video', () => {
    const phones: ContractPhone[] = [];
    const legs = ['seen-1007', 'seen-1008'];
    const ids: number[] = [];
    beforeAll(async () => {
      nodeUnderTest().answerer.rooms.set('seen', { ...MIXED_PROFILE, 'caller-controls': 'default' });
      for (const [i, username] of ['1007', '1008'].entries()) {
        const phone = await nodeUnderTest().node.openPhone({
          username,
          domain: DOMAIN,
          password: PASSWORD,
          behaviour: { video: true },
        });
        await phone.register();
        phones.push(phone);
        await nodeUnderTest().client.send(
          `bgapi originate {origination_uuid=${legs[i]}}user/${username}@${DOMAIN} room.seen XML users`,
        );
        const entered = await next('seen', 'add-member', (e) => e['Unique-ID'] === legs[i]);
        expect(entered.Video).toBe('true');
        ids.push(Number(entered['Member-ID']));
      }
    });
    afterAll(async () => {
      await closeRoom(nodeUnderTest(), 'seen');
      for (const phone of phones) await phone.unregister();
      phones.forEach((p) => p.close());
    });

    test('the layouts are asked for when the room starts, and the keys of everybody who enters', async () => {
      const forms = nodeUnderTest().answerer.forms;
      const start = forms.findIndex((f) => f.conference_name === 'seen');
      expect(forms.slice(start).filter((f) => f.key_value === 'conference_layouts.conf')).toHaveLength(1);
      const asked = () => forms.filter((f) => f.Action === 'request-controls' && f['Conf-Name'] === 'seen');
      await until('both have asked', () => asked().length >= 2);
      const controls = asked();
      expect(controls.map((f) => [f['Fetch-Call-UUID'], f.Controls, f['Conf-Profile']])).toEqual(
        legs.map((legId) => [legId, 'default', 'room']),
      );
    });

    test('the first with a video gets the video floor', async () => {
      expect(await next('seen', 'video-floor-change')).toMatchObject({ 'Old-ID': 'none', 'New-ID': String(ids[0]) });
    });

    test.each([
      ['vid-layout', '-ERR Invalid input\n'],
      ['vid-layout 2x2', '+OK Change canvas 1 to layout [2x2]\n'],
      ['vid-layout group:grid', '+OK Change to layout group [grid]\n'],
      ['vid-layout nothing', '-ERR Invalid layout [nothing]\n'],
      ['vid-layout group:nothing', '+OK Change to layout group []\n-ERR Invalid layout [group:nothing]\n'],
      ['vid-layout 2x2', '+OK Change canvas 1 to layout [2x2]\n'],
      ['vid-fps', '+OK Current FPS [10.00]\n'],
      ['vid-fps 500', '-ERR Invalid FPS [500]\n'],
      ['vid-res', '-ERR Invalid size\n'],
      ['vid-res 9x9', '-ERR Invalid size, [9x9] is too small\n'],
      ['vid-res 99999x99999', '-ERR Invalid size, [99999x99999] is too large.\n'],
      ['vid-write-png', '-ERR Invalid input\n'],
      ['vid-write-png /nowhere/x.png', '-ERR\n'],
    ])('conference seen %s', async (line, answer) => {
      expect(await tell(nodeUnderTest(), `seen ${line}`)).toBe(answer);
    });

    test('places, names and layers of one member', async () => {
      const [first] = ids;
      expect(await tell(nodeUnderTest(), `seen vid-res-id ${first} presenter force`)).toBe(
        '+OK reservation_id presenter\n',
      );
      expect(await tell(nodeUnderTest(), 'seen list')).toContain('res-id:presenter');
      expect(await tell(nodeUnderTest(), `seen vid-res-id ${first} clear`)).toBe('+OK reservation_id cleared\n');
      expect(await tell(nodeUnderTest(), `seen vid-banner ${first} Zo%C3%AB`)).toBe('+OK\n');
      expect(await tell(nodeUnderTest(), `seen vid-layer ${first}`)).toBe('-ERR Invalid DATA\n');
      // Whether it gets the second depends on who stands there: the answer says which it is.
      expect(await tell(nodeUnderTest(), `seen vid-layer ${first} 2`)).toMatch(/^\+OK layer [12]\n$/);
      expect(await tell(nodeUnderTest(), `seen vid-layer ${first} 99`)).toBe('+OK layer 1\n');
    });

    test('the video is fixed on one by force, and follows the voices again when that is cleared', async () => {
      const held = Number(/^(\d+);.*\|vid-floor/m.exec(await tell(nodeUnderTest(), 'seen list'))?.[1]);
      const [first, second] = held === ids[0] ? ids : [...ids].reverse();
      expect(await tell(nodeUnderTest(), `seen vid-floor ${second}`)).toBe(`-ERR floor is held by ${first}\n`);
      expect(await tell(nodeUnderTest(), `seen vid-floor ${second} force`)).toBe(`+OK floor ${second}\n`);
      const moved = (e: RawEvent): boolean => e['Old-ID'] === String(first) && e['New-ID'] === String(second);
      await next('seen', 'video-floor-change', moved);
      expect(await tell(nodeUnderTest(), 'seen list')).toMatch(new RegExp(`^${second};.*vid-floor`, 'm'));
      expect(await tell(nodeUnderTest(), 'list')).toContain('video_floor_lock');
      expect(await tell(nodeUnderTest(), 'seen clear-vid-floor')).toBe('+OK floor Cleared\n');
      expect(await tell(nodeUnderTest(), 'list')).not.toContain('video_floor_lock');
    });

    test('bandwidth: of all, and of one', async () => {
      const answer = await tell(nodeUnderTest(), 'seen vid-bandwidth 512kb');
      expect(answer.match(/\+OK Set Bandwidth 512 kps for member sofia\/internal\/100[78]@/g)).toHaveLength(2);
      expect(answer.endsWith('-ERR Bandwidth not set\n')).toBe(true);
      expect(await api(`uuid_video_bandwidth ${legs[0]} 128kb`)).toBe('+OK Success\n');
      expect(await api('uuid_video_bandwidth no-such-leg 128kb')).toBe('-ERR Operation Failed\n');
      const [id] = ids;
      expect(await tell(nodeUnderTest(), 'seen setvar group-k128 128kb')).toBe('+OK\n');
      expect(await tell(nodeUnderTest(), `seen vid-codec-group ${id} k128`)).toBe('+OK Video codec group set k128\n');
      expect(await tell(nodeUnderTest(), `seen vid-codec-group ${id} clear`)).toBe('+OK Video codec group cleared \n');
    });

    test('how well a channel is heard and seen is copied into its variables', async () => {
      expect(await api(`uuid_set_media_stats ${legs[0]}`)).toBe('+OK:\n');
      const names = ['audio', 'video'].flatMap((k) =>
        ['packet_count', 'flaw_total', 'media_bytes'].map((n) => `rtp_${k}_in_${n}`),
      );
      const text = [...names, 'rtp_audio_in_mos'].map((n) => `\${variable_${n}}`).join(';');
      expect(await api(`eval uuid:${legs[0]} ${text}`)).toMatch(/^(\d+;){6}\d\.\d\d$/);
    });

    test('the mixed video is written as a PNG', async () => {
      const file = path('seen.png');
      expect(await tell(nodeUnderTest(), `seen vid-write-png ${file}`)).toBe('+OK\n');
      const png = await readFile(file);
      expect(png.subarray(0, 8)).toEqual(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]));
      expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([320, 240]);
    });

    test('recorded with its video: parameters stand before the path in the events, and not in the list', async () => {
      const file = path('seen.mp4');
      expect(await tell(nodeUnderTest(), `seen recording start ${file}`)).toBe(`+OK Record file ${file} canvas 1\n`);
      const start = await next('seen', 'start-recording');
      expect(start.Path).toMatch(VIDEO_PARAMETERS);
      expect(start.Path!.endsWith(`}${file}`)).toBe(true);
      expect(parseRooms(await tell(nodeUnderTest(), 'seen json_list'))[0]!.recordings).toEqual([
        { path: file, paused: false },
      ]);
      await new Promise((done) => setTimeout(done, 800));
      expect(await tell(nodeUnderTest(), `seen recording stop ${file}`)).toMatch(/^Stopped recording file /);
      expect((await next('seen', 'stop-recording')).Path).toBe(start.Path);
      expect((await stat(file)).size).toBeGreaterThan(500);
    });
  });
};
