import { readFile } from 'node:fs/promises';
import { createEventLog } from '../../../src/domains/events/events';
import { UNLIMITED } from '../../../src/domains/quotas/quotas';
import { createRoomHooks } from '../../../src/domains/rooms/sessions/listeners';
import { layoutsRoutes } from '../../../src/domains/rooms/layouts/layouts.routes';
import { roomsRoutes } from '../../../src/domains/rooms/rooms.routes';
import { playInRoom } from '../../../src/freeswitch/esl';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { startApi, type TestApi } from '../../http/start-api';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../../e2e/harness';
import { SECRET_KEY, startRealRoomNode, type RealRoomNode } from './real-room';

describeWithRealNode('a room at a real node', (binary) => {
  let api: TestApi;
  let real: RealRoomNode;

  // Before useStores(), whose own afterAll takes the database away: jest runs them in this order.
  afterAll(async () => {
    await real?.close();
    await api?.close();
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    real = await startRealRoomNode(binary, stores.db);
    const logger = createLogger('error', { write: () => undefined });
    const events = createEventLog(stores.db, { ring: () => undefined }, logger);
    const deps = { db: stores.db, events, quotas: UNLIMITED, logger, secretKey: SECRET_KEY, links: real.links };
    const hooks = createRoomHooks(logger);
    const closeSession = (): Promise<void> => Promise.resolve();
    api = await startApi(stores, {
      extra: [...roomsRoutes({ ...deps, hooks, closeSession }), ...layoutsRoutes(deps)],
    });
    await api.call('POST', '/v1/domains', { name: 'clinic.test' });
  }, 90_000);

  /** A room and a session of it that the node owns. */
  async function openRoom(settings: object): Promise<{ roomId: string; sessionId: string }> {
    const name = `r${Math.random().toString(36).slice(2)}`;
    const made = await api.call('POST', '/v1/rooms', { domain: 'clinic.test', name, ...settings });
    expect(made).toMatchObject({ status: 201 });
    const roomId = made.body.id as string;
    const row = await stores.db('rooms').where({ id: roomId }).first();
    const sessionId = createId();
    await stores.db('sessions').insert({
      id: sessionId,
      room_id: roomId,
      domain_id: row.domain_id,
      node_id: real.node.id,
      epoch: 1,
      meeting_id: sessionId,
      state: 'live',
      units: 1,
      settings: row.settings,
    });
    await stores.db('leases').insert({ room_id: roomId, node_id: real.node.id, session_id: sessionId, epoch: 1 });
    return { roomId, sessionId };
  }

  const isRunning = async (sessionId: string): Promise<boolean> =>
    (await real.ask('conference json_list')).text.includes(sessionId);
  const waitForRoom = (sessionId: string) => until('the room to run', () => isRunning(sessionId), 5000);

  /** Width and height of the mixed video, and what it is filled with: read from the file a node writes. */
  async function look(sessionId: string): Promise<{ width: number; height: number }> {
    const file = real.file(`${sessionId}.png`);
    expect(await real.ask(`conference ${sessionId} vid-write-png ${file}`)).toMatchObject({ ok: true });
    const png = await readFile(file);
    return { width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
  }

  test('has a canvas, a frame rate and a layout of its own', async () => {
    const made = await api.call('POST', '/v1/layouts', {
      domain: 'clinic.test',
      name: 'doctor-left',
      images: [
        { x: 0, y: 0, scale: 240, hscale: 360, zoom: true, floor: true },
        { x: 240, y: 0, scale: 120, reservationId: 'patient' },
        { x: 240, y: 120, scale: 120, border: 2 },
      ],
    });
    expect(made.status).toBe(201);
    const video = { width: 640, height: 480, fps: 12, maxKbps: 500 };
    const { sessionId } = await openRoom({ layout: 'doctor-left', video });
    const plain = await openRoom({ video: { width: 320, height: 240, fps: 5 } });
    await Promise.all([real.enter(sessionId), real.enter(plain.sessionId)]);
    await Promise.all([waitForRoom(sessionId), waitForRoom(plain.sessionId)]);
    expect(await look(sessionId)).toEqual({ width: 640, height: 480 });
    expect(await look(plain.sessionId)).toEqual({ width: 320, height: 240 });
    expect((await real.ask(`conference ${sessionId} vid-fps`)).text).toMatch(/Current FPS \[12\./);
    expect((await real.ask(`conference ${plain.sessionId} vid-fps`)).text).toMatch(/Current FPS \[5\./);
    const layouts = (await real.ask(`conference ${sessionId} vid-layout list`)).text.split('\n');
    expect(layouts).toEqual(expect.arrayContaining(['doctor-left', '3x3', '1up_top_left+5']));
    expect((await real.ask(`conference ${sessionId} vid-layout 2x2`)).text).toContain('[2x2]');
    expect((await real.ask(`conference ${sessionId} vid-layout doctor-left`)).text).toContain('[doctor-left]');
    const log = await real.readLog();
    expect(log).not.toMatch(/Invalid video-layout-name|invalid layout|invalid image|Invalid video-canvas-size/);
    for (const id of [sessionId, plain.sessionId]) await real.ask(`conference ${id} hup all`);
  });

  test('lets nobody enter a room that the node does not own', async () => {
    const { sessionId } = await openRoom({});
    await stores.db('leases').where({ session_id: sessionId }).update({ session_id: null, node_id: null });
    for (const id of [sessionId, createId()]) {
      const channel = await real.enter(id);
      await until('the refusal', () => real.warnings.join('\n').includes(id), 5000);
      await until('the channel to end', async () => !(await real.ask('show channels')).text.includes(channel), 5000);
      expect(await isRunning(id)).toBe(false);
    }
  });

  test('takes changed settings over while it runs, and says which wait', async () => {
    const { roomId, sessionId } = await openRoom({
      video: { width: 640, height: 360, fps: 10 },
      musicWhileAlone: false,
    });
    await real.enter(sessionId);
    await waitForRoom(sessionId);
    const changed = await api.call('PATCH', `/v1/rooms/${roomId}`, {
      layout: '3x3',
      video: { width: 320, height: 180, fps: 15, mode: 'mixed' },
      sounds: { entry: 'none', exit: 'beep' },
      musicWhileAlone: true,
      locked: true,
      waitForModerator: true,
      background: { color: '#ff0000' },
      mutedOnEntry: true,
    });
    expect(changed).toMatchObject({ status: 200 });
    expect(changed.body.pending).toEqual(['background.color', 'waitForModerator']);
    expect((await real.ask(`conference ${sessionId} vid-fps`)).text).toMatch(/Current FPS \[15\./);
    await until('the new canvas', async () => (await look(sessionId)).width === 320, 5000);
    const xml = (await real.ask(`conference ${sessionId} xml_list`)).text;
    expect(xml).toMatch(/locked="true"/);
    expect(xml).toMatch(/exit_sound="true"/);
    expect(xml).not.toMatch(/enter_sound="true"/);
    const session = await stores.db('sessions').where({ id: sessionId }).first();
    expect(session).toMatchObject({ layout: '3x3', locked: true });
    expect(session.settings).toMatchObject({ waitForModerator: false, video: { fps: 15 }, mutedOnEntry: true });
    const playing = /playing|tone_stream/;
    await until('music', async () => playing.test((await real.ask(`conference ${sessionId} play_status`)).text), 8000);
    await real.ask(`conference ${sessionId} hup all`);
  });

  test('has a node that renders little of what may be played, where it would render all that is written', async () => {
    const { sessionId } = await openRoom({ audioOnly: true, musicWhileAlone: false });
    await real.enter(sessionId);
    await waitForRoom(sessionId);
    const residentMb = async (): Promise<number> =>
      Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${real.pid}/status`, 'utf8'))![1]) / 1024;
    const grows = async (lines: string[]): Promise<number> => {
      const before = await residentMb();
      for (const line of lines) expect(await real.ask(line)).toMatchObject({ ok: true });
      const after = await residentMb();
      await real.ask(`conference ${sessionId} stop all`);
      return after - before;
    };
    await grows([playInRoom(sessionId, 'tone_stream://%(60000,0,440)').line]); // what it needs once
    // All that a room may have waiting, in the forms that there are.
    const tones = [
      '%(60000,0,440)',
      'L=3;v=-9;l=2;%(100,50,440.5,480)%(9700,0,20000);d=100;w=0;1#;loops=1000',
      '%(30000,0,1)',
    ];
    const allowed = await grows(tones.map((text) => playInRoom(sessionId, `tone_stream://${text}`).line));
    const written = await grows([`conference ${sessionId} play tone_stream://%(1000000,0,440)`]);
    process.stdout.write(
      `a node grows by ${allowed.toFixed(0)} MB with all that may wait, by ${written.toFixed(0)} MB with 1,000 s\n`,
    );
    expect(written).toBeGreaterThan(60);
    expect(allowed).toBeLessThan(written / 2);
    await real.ask(`conference ${sessionId} hup all`);
  });

  test('has no canvas where it is for sound alone', async () => {
    const { roomId, sessionId } = await openRoom({ audioOnly: true });
    await real.enter(sessionId);
    await waitForRoom(sessionId);
    expect((await real.ask(`conference ${sessionId} vid-fps`)).text).toContain('not in mixing mode');
    const changed = await api.call('PATCH', `/v1/rooms/${roomId}`, { video: { fps: 20 } });
    expect(changed.body.pending).toEqual(['video.fps']);
    await real.ask(`conference ${sessionId} hup all`);
  });
});
