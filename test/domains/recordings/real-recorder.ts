/** A real node that records for the room of recordings: it asks a stand-in for its configuration, and its events are taken in. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { launchRealNode, type RealNode } from '../../../scripts/nodes/launch-node';
import { findFreePort } from '../../../scripts/stores/ports';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import type { RecordingDeps } from '../../../src/domains/recordings/control/transition';
import { openConnection, SUBSCRIPTION, type NodeConnection } from '../../../src/freeswitch/esl';
import { configurationXml, notFoundXml } from '../../../src/freeswitch/xml';
import { createLogger } from '../../../src/infra/logger';
import type { TestStores } from '../../stores';
import { KEY, startApi, type RecordingApi } from './start-api';

const run = promisify(execFile);
export const hasFfprobe = (process.env.PATH ?? '').split(delimiter).some((dir) => existsSync(join(dir, 'ffprobe')));

export interface Stream {
  codec_name: string;
  channels?: number;
  sample_rate?: string;
}

export interface RealRecorder {
  api: RecordingApi;
  node: NodeRow;
  dir: string;
  /** Where the node writes. */
  folder: string;
  process(): RealNode;
  connection(): NodeConnection;
  /** Starts the node, anew where it has ended; resolves when it is subscribed to. */
  start(): Promise<void>;
  /** Its events are lost, until the answer is called. */
  mute(): () => void;
  /** One command of ours at the node. */
  tell(line: string): Promise<string>;
  /** Lets a tone enter the room of a session. */
  enter(sessionId: string): Promise<void>;
  /** What ffprobe says of what GET …/media answers; without one, no streams. */
  probe(id: string, part?: number): Promise<{ status: number; streams: Stream[]; seconds: number }>;
  close(): Promise<void>;
}

/** @param o.rtpFrom the first of 200 ports: files that run beside each other need others */
export async function openRealRecorder(
  stores: TestStores,
  binary: string,
  o: { rtpFrom: number; deps?: Partial<RecordingDeps> },
): Promise<RealRecorder> {
  const eslPassword = randomBytes(8).toString('hex');
  const ports = { esl: 0, sip: 0, internode: 0, ws: 0 };
  const dir = await mkdtemp(join(tmpdir(), 'real-recordings-'));
  for (const name of ['esl', 'sip', 'internode', 'ws'] as const) ports[name] = await findFreePort();
  let real: RealNode | undefined;
  let connection: NodeConnection | undefined;
  let isMute = false;

  const asker = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      const form = new URLSearchParams(body);
      response.writeHead(200, { 'content-type': 'text/xml' }).end(answerNode(form) ?? notFoundXml());
    });
  });
  await new Promise<void>((resolve) => asker.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${(asker.address() as AddressInfo).port}`;

  function use(): NodeConnection {
    if (!connection?.isOpen) throw new Error('the node is down');
    return connection;
  }

  const api = await startApi(
    stores,
    {
      api: async (_id, command) => use().api(command, { timeoutMs: 4000 }),
      connection: () => use(),
      isUp: () => connection?.isOpen === true,
    },
    o.deps,
  );
  const node = await api.addNode('real');

  function answerNode(form: URLSearchParams): string | undefined {
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
      rtpFrom: o.rtpFrom,
      rtpTo: o.rtpFrom + 199,
      heartbeatSeconds: 5,
      cdrUrl: `${base}/cdr`,
      cdrCredentials: 'a:b',
      poolHosts: ['127.0.0.1'],
    });
  }

  async function connect(): Promise<NodeConnection> {
    const at = { host: '127.0.0.1', port: ports.esl, password: eslPassword, connectTimeoutMs: 2000 };
    const deadline = Date.now() + 30_000;
    for (;;) {
      try {
        return await openConnection({ ...at, logger: createLogger('silent') });
      } catch (error) {
        if (Date.now() > deadline) throw new Error(real?.lastLines(), { cause: error });
        await sleep(200);
      }
    }
  }

  const recorder: RealRecorder = {
    api,
    node,
    dir,
    folder: join(dir, 'node', 'recordings'),
    process: () => real!,
    connection: use,
    async start() {
      real = await launchRealNode({
        binary,
        dir: join(dir, 'node'),
        name: 'real',
        xmlUrl: `${base}/freeswitch/xml?x=1`,
        password: 'token.secret',
        env: { SWITCHYARD_RTP_FROM: String(o.rtpFrom), SWITCHYARD_RTP_TO: String(o.rtpFrom + 199) },
      });
      connection = await connect();
      connection.onEvent((event) => {
        if (!isMute) void api.recordings.handlers.onEvent(node, event).catch(() => undefined);
      });
      await connection.subscribe(SUBSCRIPTION.events, SUBSCRIPTION.subclasses);
    },
    mute() {
      isMute = true;
      return () => (isMute = false);
    },
    tell: async (line) => (await use().api({ line }, { timeoutMs: 10_000 })).text,
    async enter(sessionId) {
      await recorder.tell(`originate loopback/tone/default &conference(${sessionId}@default)`);
      await sleep(500);
    },
    async probe(id, part) {
      const query = part === undefined ? '' : `?part=${part}`;
      const headers = { authorization: `Bearer ${KEY}` };
      const answer = await fetch(`${api.url}/v1/recordings/${id}/media${query}`, { headers });
      const body = Buffer.from(await answer.arrayBuffer());
      if (answer.status !== 200 || !hasFfprobe) return { status: answer.status, streams: [], seconds: NaN };
      const file = join(dir, `${id}-${part ?? 'all'}`);
      await writeFile(file, body);
      const args = ['-v', 'error', '-show_streams', '-show_format', '-of', 'json', file];
      const said = JSON.parse((await run('ffprobe', args)).stdout) as {
        streams: Stream[];
        format: { duration: string };
      };
      return { status: 200, streams: said.streams, seconds: Number(said.format.duration) };
    },
    async close() {
      await api.close();
      connection?.close();
      await real?.stop();
      asker.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
  return recorder;
}

function planOf(extension: string): string {
  const apps =
    extension === 'tone'
      ? '<action application="answer"/><action application="playback" data="tone_stream://%(1000,0,440);loops=-1"/>'
      : '<action application="answer"/><action application="bridge" data="loopback/tone/default"/>';
  const inside = `<extension name="x"><condition>${apps}</condition></extension>`;
  return `<document type="freeswitch/xml"><section name="dialplan"><context name="default">${inside}</context></section></document>`;
}
