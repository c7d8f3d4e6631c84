/** Holds recordings to what a real node writes: two parts with video, a call in stereo, and a node that is killed. */
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../../until';
import type { RecordingApi } from './start-api';
import { hasFfprobe, openRealRecorder, type RealRecorder } from './real-recorder';

describeWithRealNode('recordings of a real node', (binary) => {
  let recorder: RealRecorder;
  let api: RecordingApi;
  afterAll(() => recorder?.close(), 30_000);
  const stores = useStores();

  beforeAll(async () => {
    recorder = await openRealRecorder(stores, binary, { rtpFrom: 29_500 });
    ({ api } = recorder);
    await recorder.start();
  }, 60_000);

  test('records a room in two parts with video and sound, and the node forgets what has arrived', async () => {
    const roomId = await api.addRoom('two-parts');
    const session = await api.openSession(roomId, recorder.node);
    await recorder.enter(session.id);
    const asked = await api.call('POST', `/v1/rooms/${roomId}/recordings`, { format: 'mp4' });
    expect(asked.status).toBe(201);
    const { id } = asked.body as { id: string };
    await api.stateIs(id, 'recording');
    await sleep(4000);
    await api.call('POST', `/v1/recordings/${id}/pause`, {});
    await api.stateIs(id, 'paused');
    await sleep(2000);
    await api.call('POST', `/v1/recordings/${id}/resume`, {});
    await api.stateIs(id, 'recording');
    await sleep(3000);
    await api.call('POST', `/v1/recordings/${id}/stop`, {});
    const view = await api.stateIs(id, 'completed');
    expect(view.parts.map((p) => p.state)).toEqual(['stored', 'stored']);
    expect(view.gaps.map((gap) => gap.reason)).toEqual(['paused']);
    expect(view.recordedSeconds).toBeGreaterThan(6);
    expect(view.completeness).toBeGreaterThan(0.9);
    for (const part of view.parts) {
      const { streams, seconds } = await recorder.probe(id, part.number);
      if (!hasFfprobe) continue;
      expect(streams.map((s) => s.codec_name).sort()).toEqual(['aac', 'h264']);
      const wroteSeconds = (Date.parse(part.endedAt!) - Date.parse(part.startedAt!)) / 1000;
      expect(wroteSeconds).toBeGreaterThan(part.number === 1 ? 3.5 : 2.5);
      expect(Math.abs(seconds - wroteSeconds)).toBeLessThan(0.7);
    }
    await until('the node has forgotten them', async () => (await readdir(recorder.folder)).length === 0);
    expect(api.lines.filter((line) => line.includes('token='))).toEqual([]);
    await recorder.tell(`conference ${session.id} hup all`);
  }, 60_000);

  test('records a call in stereo, and joins what a pause has cut', async () => {
    const { callId, legId } = await api.addCall(recorder.node, randomUUID());
    await recorder.tell(`originate {origination_uuid=${legId}}loopback/tone/default bridged XML default`);
    const record = (action: string) => api.call('POST', `/v1/calls/${callId}/record`, { action, format: 'wav' });
    const { id } = (await record('start')).body as { id: string };
    await api.stateIs(id, 'recording');
    await sleep(2000);
    expect((await record('pause')).status).toBe(200);
    await api.stateIs(id, 'paused');
    await record('resume');
    await api.stateIs(id, 'recording');
    await sleep(2000);
    await recorder.tell(`uuid_kill ${legId}`);
    await stores.db('calls').where({ id: callId }).update({ state: 'ended', outcome: 'answered' });
    const view = await api.stateIs(id, 'completed');
    expect(view).toMatchObject({ reason: 'call_ended', desired: 'stopped' });
    const { streams, seconds } = await recorder.probe(id, undefined);
    if (hasFfprobe) {
      expect(streams).toEqual([expect.objectContaining({ codec_name: 'pcm_s16le', channels: 2 })]);
      expect(Math.abs(seconds - view.recordedSeconds)).toBeLessThan(0.2);
    }
  }, 60_000);
});
