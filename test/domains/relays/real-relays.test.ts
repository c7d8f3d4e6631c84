import { randomBytes } from 'node:crypto';
import { readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchRealNode, type RealNode } from '../../../scripts/nodes/launch-node';
import { UNLIMITED } from '../../../src/domains/quotas/quotas';
import { createRelays, type Relays } from '../../../src/domains/relays';
import { createRelayProcess, type RelayProcess } from '../../../src/domains/relays/process/relay-process';
import { findRelay, insertRelay, type RelayRow } from '../../../src/domains/relays/relays.store';
import { createEventLog } from '../../../src/domains/events/events';
import { readEvents } from '../../../src/domains/events/events.store';
import { createRoomHooks } from '../../../src/domains/rooms/sessions/listeners';
import { listRoom, openConnection, parseRooms, recordRoom, type NodeConnection } from '../../../src/freeswitch/esl';
import { echoPlan } from '../../../src/freeswitch/xml';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { encryptSecret } from '../../../src/infra/secrets';
import { describeUnless, describeWithRealNode } from '../../real-node';
import { startXmlServer, type XmlServer } from '../../freeswitch/xml-server';
import { useStores } from '../../stores';
import { missingForRtmp, probeStream, startNginxRtmp, type RtmpServer } from './nginx-rtmp';
import { openRtmpTarget } from './rtmp-target';
import { until } from '../../until';

const KEY = 'a-stream-key-nobody-may-see';
const missing = missingForRtmp();

const NAME = 'relays of a real room to a real RTMP server';

if (missing) describeUnless(missing, NAME, () => undefined);
else describeWithRealNode(NAME, (binary) => relayTests(binary));

function relayTests(binary: string): void {
  // Before the stores have theirs: what looks at them again and again has to end first.
  afterAll(async () => {
    await relays?.stop();
    await relayProcess?.stop();
    esl?.close();
    await node?.stop();
    await xml?.close();
    await nginx?.stop();
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);

  const stores = useStores();
  const logger = createLogger('silent');
  const secretKey = randomBytes(32);
  const dir = mkdtempSync(join(tmpdir(), 'relay-node-'));
  const [domainId, roomId, nodeId, sessionId] = [createId(), createId(), createId(), createId()];
  let xml: XmlServer;
  let node: RealNode;
  let esl: NodeConnection;
  let nginx: RtmpServer;
  let relays: Relays;
  let relayProcess: RelayProcess;

  const api = async (line: string): Promise<string> => (await esl.api({ line }, { timeoutMs: 5000 })).text;

  beforeAll(async () => {
    nginx = await startNginxRtmp();
    xml = await startXmlServer('n1');
    xml.answer = (request) => (request.kind === 'dialplan' ? echoPlan() : undefined);
    const env = { SWITCHYARD_HEARTBEAT_SECONDS: '1', SWITCHYARD_RTP_FROM: '25200', SWITCHYARD_RTP_TO: '25300' };
    node = await launchRealNode({ binary, dir, name: 'n1', xmlUrl: xml.xmlUrl, password: 'token.secret', env });
    const { eslPort: port, eslPassword: password } = xml.settings;
    esl = await until(
      'the node can be steered',
      () =>
        openConnection({ host: '127.0.0.1', port, password, connectTimeoutMs: 1000, logger }).catch(() => undefined),
      80_000,
    );
    await addRows();
    relayProcess = createRelayProcess({ logger, listen: { host: '127.0.0.1', port: 0 } });
    relays = await createRelays({
      relayProcess,
      db: stores.db,
      log: createEventLog(stores.db, { ring: () => undefined }, logger),
      logger,
      quotas: UNLIMITED,
      links: { api: (_id, command) => esl.api(command, { timeoutMs: 5000 }), isUp: () => esl.isOpen },
      hooks: createRoomHooks(logger),
      findDomain: async () => ({ id: domainId }),
      secretKey,
      commandTimeoutMs: 5000,
      relayHost: '127.0.0.1',
      relayPort: 0,
      allowPrivate: true,
      allowedHosts: [],
      ports: [[1, 65_535]],
      findOwnHosts: async () => ['127.0.0.1'],
    });
    // Somebody in the room: an echo test of the node itself, whose own sound and the empty video are enough.
    await api(`originate {ignore_early_media=true}loopback/9196/users &conference(${sessionId}@default)`);
    await until('the room is there', async () => parseRooms(await api(listRoom(sessionId).line))[0]?.members.length);
  }, 120_000);

  async function addRows(): Promise<void> {
    const ports = { esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 };
    const { db } = stores;
    await db('domains').insert({ id: domainId, name: 'clinic.test' });
    await db('rooms').insert({ id: roomId, domain_id: domainId, name: 'stage' });
    await db('nodes').insert({
      ...ports,
      id: nodeId,
      name: 'n1',
      secret_hash: 'x',
      esl_password_sealed: 'x',
      host: '127.0.0.1',
      state: 'serving',
    });
    await db('sessions').insert({
      id: sessionId,
      room_id: roomId,
      domain_id: domainId,
      node_id: nodeId,
      epoch: 1,
      meeting_id: sessionId,
      state: 'live',
      units: 1,
      settings: '{}',
    });
  }

  async function addRelay(url: string, key = KEY): Promise<string> {
    const id = createId();
    await insertRelay(stores.db, {
      id,
      domain_id: domainId,
      room_id: roomId,
      url,
      stream_key_sealed: encryptSecret(secretKey, { purpose: 'stream-key', of: id }, key),
      max_restarts: 20,
      desired: 'live',
      state: 'waiting',
    });
    return id;
  }
  function relayIs(id: string, state: RelayRow['state'], timeoutMs = 40_000): Promise<RelayRow> {
    let row: RelayRow | undefined;
    return until(
      () => `the relay is ${state}: ${JSON.stringify(row)}`,
      async () => ((row = await findRelay(stores.db, id))?.state === state ? row : undefined),
      timeoutMs,
    );
  }
  async function stopRelay(id: string): Promise<void> {
    await stores.db('relays').where({ id }).update({ desired: 'stopped', state: 'stopping' });
    await relayIs(id, 'stopped');
  }
  const urlOf = (key: string): string => `rtmp://127.0.0.1:${nginx.port}/live/${key}`;
  const recordings = async () => parseRooms(await api(listRoom(sessionId).line))[0]!.recordings;

  test('shows a viewer video and sound, beside a recording of the same room, and ends cleanly', async () => {
    const file = join(node.dir, 'recordings', 'beside.mp4');
    await api(recordRoom(sessionId, 'start', file).line);
    const [one, two] = [await addRelay(urlOf('').slice(0, -1)), await addRelay(urlOf('').slice(0, -1), 'second')];
    await Promise.all([relayIs(one, 'live'), relayIs(two, 'live')]);
    for (const key of [KEY, 'second']) {
      const streams = await probeStream(urlOf(key), 3);
      process.stdout.write(`ffprobe reads ${JSON.stringify(streams)}\n`);
      expect(streams.map((s) => s.codec_type).sort()).toEqual(['audio', 'video']);
      expect(streams.find((s) => s.codec_type === 'audio')!.codec_name).toBe('aac');
      // mod_av 1.10.12 means to send H.264, and with libavformat 59 and later sends the format's own default.
      expect(['h264', 'flv1']).toContain(streams.find((s) => s.codec_type === 'video')!.codec_name);
      expect(streams.find((s) => s.codec_type === 'video')).toMatchObject({ width: 1280, height: 720 });
      for (const stream of streams) expect(Number(stream.nb_read_packets)).toBeGreaterThan(10);
    }
    expect(await recordings()).toHaveLength(3);
    await Promise.all([stopRelay(one), stopRelay(two)]);
    await until('only the recording is left', async () => (await recordings()).length === 1);
    await api(recordRoom(sessionId, 'stop', file).line);
  }, 120_000);

  test('is live again after the RTMP server was killed and started anew, and tells the gap', async () => {
    const id = await addRelay(urlOf('').slice(0, -1));
    await relayIs(id, 'live');
    await until('it flows', async () => Number((await findRelay(stores.db, id))!.bytes_sent) > 0);
    const killedAt = Date.now();
    await nginx.kill();
    const down = await relayIs(id, 'restarting', 10_000);
    process.stdout.write(`a dead server is seen after ${Date.now() - killedAt} ms: ${down.last_fault}\n`);
    await until('it was tried in vain', async () => (await findRelay(stores.db, id))!.restarts >= 2);
    await nginx.start();
    const back = await relayIs(id, 'live');
    const [gap] = back.gaps;
    process.stdout.write(`live again with ${back.restarts} restarts; gap ${JSON.stringify(gap)}\n`);
    expect(back.gaps).toHaveLength(1);
    expect(Date.parse(gap!.from)).toBeLessThanOrEqual(killedAt + 3000);
    expect(Date.parse(gap!.to!)).toBeGreaterThan(killedAt);
    expect((await probeStream(urlOf(KEY), 2)).length).toBe(2);
    await stopRelay(id);
    const types = (await readEvents(stores.db, domainId, 0, 1000))
      .filter((e) => e.data.relayId === id)
      .map((e) => e.type);
    expect(types[0]).toBe('relay.checking');
    expect(types).toEqual(expect.arrayContaining(['relay.live', 'relay.restarting', 'relay.stopped']));
  }, 120_000);

  test('is live again after the relay process was killed, and the node sends to the new one', async () => {
    const id = await addRelay(urlOf('').slice(0, -1));
    await relayIs(id, 'live');
    const { pid } = relayProcess;
    const killedAt = Date.now();
    process.kill(pid!, 'SIGKILL');
    const back = await until('it is live again', async () => {
      const row = await findRelay(stores.db, id);
      return row!.restarts > 0 && row!.state === 'live' ? row : undefined;
    });
    process.stdout.write(`live again ${Date.now() - killedAt} ms after the relay process was killed\n`);
    expect(back!.gaps).toHaveLength(1);
    expect(relayProcess.pid).not.toBe(pid);
    expect((await probeStream(urlOf(KEY), 2)).length).toBe(2);
    await stopRelay(id);
    await until('the node has let go of all', async () => (await recordings()).length === 0);
  }, 120_000);

  test('a target that stops reading is found out, and neither the room nor the node waits for it', async () => {
    const target = await openRtmpTarget();
    const id = await addRelay(`rtmp://127.0.0.1:${target.port}/live`);
    await relayIs(id, 'live');
    const file = join(node.dir, 'recordings', 'meanwhile.mp4');
    await api(recordRoom(sessionId, 'start', file).line);
    await until('it flows', async () => Number((await findRelay(stores.db, id))!.bytes_sent) > 10_000);
    const before = memoryOf(node.pid);
    const frozenAt = Date.now();
    target.freeze();
    const down = await relayIs(id, 'restarting', 20_000);
    const took = Date.now() - frozenAt;
    process.stdout.write(
      `a stalled server is seen after ${took} ms; node's memory ${before} → ${memoryOf(node.pid)} MB\n`,
    );
    expect(down.last_fault).toBe('the target has stopped reading');
    expect(took).toBeLessThan(15_000);
    expect(memoryOf(node.pid) - before).toBeLessThan(100);
    await stopRelay(id);
    await api(recordRoom(sessionId, 'stop', file).line);
    await until('the node has let go of all', async () => (await recordings()).length === 0);
    await target.stop();
    const [sound] = (await probeStream(file, 60)).filter((s) => s.codec_type === 'audio');
    const seconds = (Number(sound!.nb_read_packets) * 1024) / Number(sound!.sample_rate);
    process.stdout.write(`the recording beside it has ${seconds.toFixed(1)} s of sound\n`);
    expect(seconds).toBeGreaterThan((took / 1000) * 0.8); // the room was mixed all the time
  }, 120_000);

  test("the stream's key is in none of the node's logs", () => {
    expect(readFileSync(node.logFile, 'utf8')).not.toContain(KEY);
    expect(readFileSync(node.logFile, 'utf8')).toContain('/relay/');
    expect(node.lastLines(100_000)).not.toContain(KEY);
  });
}

/** Resident, in MB. */
function memoryOf(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024);
}
