/** Every way in which a real node's file can end: it is whole, or the ledger says what is missing, and nothing broken is played out. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordingView } from '../../../src/domains/recordings/view';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../../until';
import { KEY, type RecordingApi } from './start-api';
import { hasFfprobe, openRealRecorder, type RealRecorder } from './real-recorder';

const RECORDED_MS = 5000;

describeWithRealNode('recordings that end with their node', (binary) => {
  let recorder: RealRecorder;
  let api: RecordingApi;
  const stores = useStores();
  afterAll(() => recorder?.close());

  beforeAll(async () => {
    recorder = await openRealRecorder(stores, binary, { rtpFrom: 29_700 });
    ({ api } = recorder);
    await recorder.start();
  });

  interface Running {
    id: string;
    end(): Promise<unknown>;
  }

  async function recordRoom(name: string): Promise<Running> {
    const roomId = await api.addRoom(name);
    const session = await api.openSession(roomId, recorder.node);
    await recorder.enter(session.id);
    const { id } = (await api.call('POST', `/v1/rooms/${roomId}/recordings`, { format: 'mp4' })).body as RecordingView;
    await api.stateIs(id, 'recording');
    return { id, end: () => api.endSession(session, 'node_died') };
  }

  async function recordCall(): Promise<Running> {
    const { callId, legId } = await api.addCall(recorder.node, randomUUID());
    await recorder.tell(`originate {origination_uuid=${legId}}loopback/tone/default bridged XML default`);
    const { id } = (await api.call('POST', `/v1/calls/${callId}/record`, {})).body as RecordingView;
    await api.stateIs(id, 'recording');
    return { id, end: () => stores.db('calls').where({ id: callId }).update({ state: 'ended', outcome: 'lost' }) };
  }

  const nodeIs = (state: string, reason: string | null): Promise<unknown> =>
    stores.db('nodes').where({ id: recorder.node.id }).update({ state, down_reason: reason });

  /** The node is gone: Switchyard notices, its room and call are over, and it comes back with what is on its disk. */
  async function rejoinRoom(...running: Running[]): Promise<RecordingView[]> {
    await recorder.process().ended;
    await nodeIs('down', 'refused');
    for (const { end } of running) await end();
    for (const { id } of running) await api.call('POST', `/v1/recordings/${id}/stop`, {});
    await recorder.start();
    await nodeIs('serving', null);
    await api.recordings.handlers.onSnapshot(recorder.node, recorder.connection());
    let view: RecordingView | undefined;
    return Promise.all(
      running.map(({ id }) =>
        until(
          () =>
            `it is over: ${JSON.stringify(view)}\n${api.lines
              .filter((line) => !line.includes('request completed'))
              .slice(-12)
              .join('')}`,
          async () => {
            view = await api.read(id);
            return ['completed', 'failed'].includes(view.state) ? view : undefined;
          },
        ),
      ),
    );
  }

  const ask = async (id: string, query = ''): Promise<Response> =>
    fetch(`${api.url}/v1/recordings/${id}/media${query}`, { headers: { authorization: `Bearer ${KEY}` } });

  async function expectWhole(view: RecordingView): Promise<void> {
    expect(view).toMatchObject({ state: 'completed' });
    expect(view.parts[0]).toMatchObject({ state: 'stored', playable: true });
    const { status, seconds } = await recorder.probe(view.id);
    expect(status).toBe(200);
    if (hasFfprobe) expect(Math.abs(seconds - view.recordedSeconds)).toBeLessThan(0.3);
    expect(view.recordedSeconds).toBeGreaterThan(RECORDED_MS / 1000 - 0.5);
    expect(view.completeness).toBeGreaterThan(0.85);
  }

  test('kill -TERM of its node: room and call are whole', async () => {
    const [room, call] = [await recordRoom('term'), await recordCall()];
    await sleep(RECORDED_MS);
    recorder.process().kill('SIGTERM');
    await call.end(); // its legs are hung up, and tell
    for (const view of await rejoinRoom(room, call)) await expectWhole(view);
  });

  test.each([
    ['kill -9 of its node', 'SIGKILL'],
    ['`fsctl shutdown now` at its node', 'now'],
  ])('%s: a call is kept as far as it goes, and a video without an index is refused in words', async (_how, how) => {
    const [room, call] = [await recordRoom(`killed-${how}`), await recordCall()];
    await sleep(RECORDED_MS);
    if (how === 'SIGKILL') recorder.process().kill('SIGKILL');
    else await recorder.tell(`fsctl shutdown ${how}`).catch(() => undefined);
    const [video, sound] = (await rejoinRoom(room, call)) as [RecordingView, RecordingView];

    expect(video).toMatchObject({ state: 'failed', completeness: 0, parts: [{ state: 'failed', playable: false }] });
    expect(video.parts[0]!.fault).toContain('lacks its index');
    expect(video.gaps.map((gap) => gap.reason)).toContain('damaged');
    for (const query of ['', '?part=1']) {
      const refused = await ask(video.id, query);
      expect([refused.status, await refused.json()]).toMatchObject([409, { code: 'conflict' }]);
    }
    const raw = await ask(video.id, '?part=1&damaged=true');
    expect((await raw.arrayBuffer()).byteLength).toBe(video.parts[0]!.bytes);

    expect(sound).toMatchObject({ state: 'completed', parts: [{ state: 'stored', playable: true }] });
    const { seconds, streams } = await recorder.probe(sound.id);
    if (hasFfprobe) {
      expect(Math.abs(seconds - sound.recordedSeconds)).toBeLessThan(0.1);
      expect(streams).toMatchObject([{ codec_name: 'pcm_s16le', channels: 2, sample_rate: '8000' }]);
    }
    const head = Buffer.from(await (await ask(sound.id)).arrayBuffer());
    expect(head.readUInt32LE(4)).toBe(head.length - 8);
    const lacking = sound.expectedSeconds - sound.recordedSeconds;
    expect(sound.gaps.reduce((sum, gap) => sum + gap.seconds, 0)).toBeGreaterThanOrEqual(lacking - 1.1);
  });

  test('a Switchyard that is away while the call ends: the whole call is there, and its end is the end of its file', async () => {
    const { callId, legId } = await api.addCall(recorder.node, randomUUID());
    await recorder.tell(`originate {origination_uuid=${legId}}loopback/tone/default bridged XML default`);
    const { id } = (await api.call('POST', `/v1/calls/${callId}/record`, {})).body as RecordingView;
    await api.stateIs(id, 'recording');
    await sleep(2000);
    const deaf = recorder.mute();
    await sleep(RECORDED_MS - 2000);
    await recorder.tell(`uuid_kill ${legId}`);
    await stores.db('calls').where({ id: callId }).update({ state: 'ended', outcome: 'answered' });
    deaf();
    await api.recordings.handlers.onSnapshot(recorder.node, recorder.connection());
    const view = await api.stateIs(id, 'completed');
    expect(view).toMatchObject({ reason: 'call_ended', gaps: [], parts: [{ endReason: 'call_ended' }] });
    await expectWhole(view);
  });
});
