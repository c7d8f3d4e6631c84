/** Holds recordings to what a real node writes: two parts with picture, a call in stereo, and a node that is killed. */
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { launchRealNode, type RealNode } from '../../../scripts/launch-node';
import { findFreePort } from '../../../scripts/ports';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { openConnection, SUBSCRIPTION, type NodeConnection } from '../../../src/freeswitch/esl';
import { configurationXml, notFoundXml } from '../../../src/freeswitch/xml';
import { createLogger } from '../../../src/infra/logger';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { KEY, openHouse, type RecordingHouse } from './house';

const run = promisify(execFile);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const hasFfprobe = (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'ffprobe')));

interface Stream {
  codec_name: string;
  channels?: number;
  duration: string;
}

describeWithRealNode('recordings of a real node', (binary) => {
  let house: RecordingHouse;
  let node: NodeRow;
  let real: RealNode;
  let asker: Server;
  let connection: NodeConnection | undefined;
  let dir: string;
  const eslPassword = randomBytes(8).toString('hex');
  const ports = { esl: 0, sip: 0, internode: 0, ws: 0 };

  afterAll(async () => {
    await house?.close();
    connection?.close();
    await real?.stop();
    asker?.close();
    await rm(dir, { recursive: true, force: true });
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'real-recordings-'));
    for (const name of ['esl', 'sip', 'internode', 'ws'] as const) ports[name] = await findFreePort();
    asker = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        const form = new URLSearchParams(body);
        response.writeHead(200, { 'content-type': 'text/xml' }).end(answerNode(form) ?? notFoundXml());
      });
    });
    await new Promise<void>((resolve) => asker.listen(0, '127.0.0.1', resolve));
    const links = {
      api: async (_id: string, command: { line: string }) => use().api(command, { timeoutMs: 4000 }),
      connection: () => use(),
      isUp: () => connection?.isOpen === true,
    };
    house = await openHouse(stores, links);
    node = await house.addNode('real');
    await startNode();
  }, 60_000);

  function use(): NodeConnection {
    if (!connection?.isOpen) throw new Error('the node is down');
    return connection;
  }

  function answerNode(form: URLSearchParams): string | undefined {
    const base = `http://127.0.0.1:${(asker.address() as AddressInfo).port}`;
    if (form.get('section') === 'dialplan') return planOf(form.get('Caller-Destination-Number') ?? '');
    if (form.get('section') !== 'configuration') return undefined;
    return configurationXml(form.get('key_value') ?? '', {
      name: 'real',
      host: '127.0.0.1',
      eslPort: ports.esl,
      eslPassword,
      sipPort: ports.sip,
      internodePort: ports.internode,
      wsPort: ports.ws,
      rtpFrom: 29_500,
      rtpTo: 29_700,
      heartbeatSeconds: 5,
      cdrUrl: `${base}/cdr`,
      cdrCredentials: 'a:b',
      poolHosts: ['127.0.0.1'],
    });
  }

  function planOf(extension: string): string {
    const apps =
      extension === 'tone'
        ? '<action application="answer"/><action application="playback" data="tone_stream://%(1000,0,440);loops=-1"/>'
        : '<action application="answer"/><action application="bridge" data="loopback/tone/default"/>';
    const inside = `<extension name="x"><condition>${apps}</condition></extension>`;
    return `<document type="freeswitch/xml"><section name="dialplan"><context name="default">${inside}</context></section></document>`;
  }

  async function startNode(): Promise<void> {
    const { port } = asker.address() as AddressInfo;
    real = await launchRealNode({
      binary,
      dir: join(dir, 'node'),
      name: 'real',
      xmlUrl: `http://127.0.0.1:${port}/freeswitch/xml?x=1`,
      password: 'token.secret',
      env: { SWITCHYARD_RTP_FROM: '29500', SWITCHYARD_RTP_TO: '29700' },
    });
    const logger = createLogger('silent');
    const deadline = Date.now() + 30_000;
    for (;;) {
      try {
        const o = { host: '127.0.0.1', port: ports.esl, password: eslPassword, connectTimeoutMs: 2000, logger };
        connection = await openConnection(o);
        break;
      } catch (error) {
        if (Date.now() > deadline) throw new Error(real.lastLines(), { cause: error });
        await sleep(200);
      }
    }
    connection.onEvent((event) => void house.recordings.takeRecordingEvent(node, event));
    await connection.subscribe(SUBSCRIPTION.events, SUBSCRIPTION.subclasses);
  }

  const tell = async (line: string): Promise<string> => (await use().api({ line }, { timeoutMs: 10_000 })).text;

  async function enter(sessionId: string): Promise<void> {
    await tell(`originate loopback/tone/default &conference(${sessionId}@default)`);
    await sleep(500);
  }

  async function probe(id: string, part: number | undefined): Promise<{ streams: Stream[]; seconds: number }> {
    const query = part === undefined ? '' : `?part=${part}`;
    const headers = { authorization: `Bearer ${KEY}` };
    const answer = await fetch(`${house.url}/v1/recordings/${id}/media${query}`, { headers });
    expect(answer.status).toBe(200);
    const file = join(dir, `${id}-${part ?? 'all'}`);
    await writeFile(file, Buffer.from(await answer.arrayBuffer()));
    if (!hasFfprobe) return { streams: [], seconds: NaN };
    const args = ['-v', 'error', '-show_streams', '-show_format', '-of', 'json', file];
    const said = JSON.parse((await run('ffprobe', args)).stdout) as { streams: Stream[]; format: { duration: string } };
    return { streams: said.streams, seconds: Number(said.format.duration) };
  }

  it('records a room in two parts with picture and sound, and the node forgets what has arrived', async () => {
    const roomId = await house.addRoom('two-parts');
    const session = await house.openSession(roomId, node);
    await enter(session.id);
    const asked = await house.api('POST', `/v1/rooms/${roomId}/recordings`, { format: 'mp4' });
    expect(asked.status).toBe(201);
    const { id } = asked.body as { id: string };
    await house.stateIs(id, 'recording');
    await sleep(4000);
    await house.api('POST', `/v1/recordings/${id}/pause`, {});
    await house.stateIs(id, 'paused');
    await sleep(2000);
    await house.api('POST', `/v1/recordings/${id}/resume`, {});
    await house.stateIs(id, 'recording');
    await sleep(3000);
    await house.api('POST', `/v1/recordings/${id}/stop`, {});
    const view = await house.stateIs(id, 'completed');
    expect(view.parts.map((p) => p.state)).toEqual(['stored', 'stored']);
    expect(view.gaps.map((gap) => gap.reason)).toEqual(['paused']);
    expect(view.recordedSeconds).toBeGreaterThan(6);
    expect(view.completeness).toBeGreaterThan(0.9);
    for (const part of view.parts) {
      const { streams, seconds } = await probe(id, part.number);
      if (!hasFfprobe) continue;
      expect(streams.map((s) => s.codec_name).sort()).toEqual(['aac', 'h264']);
      const wroteSeconds = (Date.parse(part.endedAt!) - Date.parse(part.startedAt!)) / 1000;
      expect(wroteSeconds).toBeGreaterThan(part.number === 1 ? 3.5 : 2.5);
      expect(Math.abs(seconds - wroteSeconds)).toBeLessThan(0.7);
    }
    const deadline = Date.now() + 5000;
    while ((await readdir(join(dir, 'node', 'recordings'))).length > 0 && Date.now() < deadline) await sleep(100);
    expect(await readdir(join(dir, 'node', 'recordings'))).toEqual([]);
    expect(house.lines.filter((line) => line.includes('token='))).toEqual([]);
    await tell(`conference ${session.id} hup all`);
  }, 60_000);

  it('records a call in stereo, and joins what a pause has cut', async () => {
    const { callId, legId } = await house.addCall(node, randomUUID());
    await tell(`originate {origination_uuid=${legId}}loopback/tone/default bridged XML default`);
    const record = (action: string) => house.api('POST', `/v1/calls/${callId}/record`, { action, format: 'wav' });
    const { id } = (await record('start')).body as { id: string };
    await house.stateIs(id, 'recording');
    await sleep(2000);
    expect((await record('pause')).status).toBe(200);
    await house.stateIs(id, 'paused');
    await record('resume');
    await house.stateIs(id, 'recording');
    await sleep(2000);
    await tell(`uuid_kill ${legId}`);
    await stores.db('calls').where({ id: callId }).update({ state: 'ended', outcome: 'answered' });
    const view = await house.stateIs(id, 'completed');
    expect(view).toMatchObject({ reason: 'call_ended', desired: 'stopped' });
    const { streams, seconds } = await probe(id, undefined);
    if (hasFfprobe) {
      expect(streams).toEqual([expect.objectContaining({ codec_name: 'pcm_s16le', channels: 2 })]);
      expect(Math.abs(seconds - view.recordedSeconds)).toBeLessThan(0.2);
    }
  }, 60_000);

  it('says what is missing when its node is killed, and brings the file when the node is back with it', async () => {
    const roomId = await house.addRoom('killed');
    const session = await house.openSession(roomId, node);
    await enter(session.id);
    const { id } = (await house.api('POST', `/v1/rooms/${roomId}/recordings`, { format: 'mp4' })).body as {
      id: string;
    };
    await house.stateIs(id, 'recording');
    await sleep(3000);
    real.kill('SIGKILL');
    await real.ended;
    await stores.db('nodes').where({ id: node.id }).update({ state: 'down', down_reason: 'refused' });
    await house.endSession(session, 'node_died');
    const waiting = await house.stateIs(id, 'starting');
    expect(waiting.parts[0]).toMatchObject({ state: 'absent', endReason: 'node_died' });
    await house.api('POST', `/v1/recordings/${id}/stop`, {});
    const absent = await house.stateIs(id, 'absent');
    expect(absent.gaps.map((gap) => gap.reason)).toEqual(expect.arrayContaining(['absent']));
    expect(absent).toMatchObject({ completeness: 0, recordedSeconds: 0 });
    await startNode();
    await stores.db('nodes').where({ id: node.id }).update({ state: 'serving', down_reason: null });
    await house.recordings.compareRecordings(node, use());
    const back = await house.stateIs(id, 'completed');
    // mod_av writes the index of an mp4 at its end: what a killed node leaves is here, and can't be played.
    expect(back.parts[0]).toMatchObject({ state: 'stored', playable: false });
    expect(back.gaps.map((gap) => gap.reason)).toContain('damaged');
    expect(back.completeness).toBe(0);
  }, 90_000);
});
