/** Ctrl-C of `scripts/start` with a real node: what was being recorded is here, whole, before the node is stopped. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createApiClient, type ApiClient } from '../../../scripts/api/client';
import { findFreePort } from '../../../scripts/stores/ports';
import type { RunFile } from '../../../scripts/startup/run-state';
import { inspectMedia } from '../../../src/domains/recordings/playback/media-file';
import type { RecordingView } from '../../../src/domains/recordings/view';
import { startPhone, type Phone } from '../../../scripts/sip-phone/phone';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../../until';

const DOMAIN = 'clinic.test';
const PASSWORD = 'a-long-password-of-theirs';
const root = resolve(__dirname, '..', '..', '..');

describeWithRealNode('start with a real node', (freeswitch) => {
  const stores = useStores();
  const phones: Phone[] = [];
  let dir: string;
  let start: ReturnType<typeof spawn>;
  let said = '';

  beforeAll(() => (dir = mkdtempSync(join(tmpdir(), 'start-'))));
  afterAll(async () => {
    for (const phone of phones) await phone.close();
    if (start?.exitCode === null) {
      start.kill('SIGTERM');
      await once(start, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  });

  async function untilRunning(): Promise<RunFile> {
    return until(
      () => `it runs: ${said}`,
      () => {
        const file = join(dir, 'run.json');
        return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as RunFile) : undefined;
      },
    );
  }

  async function begin(api: ApiClient, run: RunFile): Promise<{ room: string; call: string }> {
    await api.post('/v1/domains', { name: DOMAIN });
    for (const username of ['ann', 'bert', 'carl']) {
      await api.post('/v1/users', { domain: DOMAIN, username, password: PASSWORD });
      const at = { username, password: PASSWORD, domain: DOMAIN, nodePort: run.nodes[0]!.sipPort };
      phones.push(await startPhone({ ...at, sound: 'tone' }));
    }
    const video = { width: 320, height: 180, fps: 10 };
    const { id: roomId } = await api.post<{ id: string }>('/v1/rooms', {
      domain: DOMAIN,
      name: 'daily',
      record: true,
      video,
    });
    await phones[0]!.dial('daily');
    const { id: callId } = await api.post<{ id: string }>('/v1/calls', {
      domain: DOMAIN,
      from: 'user:bert',
      to: 'user:carl',
    });
    const isAnswered = async () => (await api.get<{ state: string }>(`/v1/calls/${callId}`)).state === 'answered';
    await until('they talk', isAnswered);
    const { id: call } = await api.post<RecordingView>(`/v1/calls/${callId}/record`, {});
    const room = await until('the room is recorded', async () => {
      const { items } = await api.get<{ items: RecordingView[] }>(`/v1/recordings?roomId=${roomId}`);
      return items[0]?.state === 'recording' ? items[0].id : undefined;
    });
    return { room, call };
  }

  test('Ctrl-C leaves what is recorded whole, and here', async () => {
    const [httpPort, nodePort] = [await findFreePort(), await findFreePort()];
    start = spawn(
      process.execPath,
      [
        '--import',
        'tsx',
        'scripts/startup/start.ts',
        '--state-dir',
        dir,
        '--http-port',
        String(httpPort),
        '--nodes',
        '1',
      ],
      {
        cwd: root,
        env: {
          ...process.env,
          FREESWITCH_BIN: freeswitch,
          DATABASE_URL: stores.databaseUrl,
          REDIS_URL: stores.redisUrl,
          REDIS_PREFIX: stores.redisPrefix,
          NODE_PORT_BASE: String(nodePort),
          NODE_RTP_BASE: '26500',
          OPERATIONS_PORT: String(await findFreePort()),
          RECORDINGS_DIR: join(dir, 'kept'),
        },
      },
    );
    for (const stream of [start.stdout, start.stderr]) stream?.on('data', (chunk) => (said += String(chunk)));
    const run = await untilRunning();
    const api = createApiClient(run.url, run.apiKey);
    const recorded = await begin(api, run);
    await new Promise((done) => setTimeout(done, 5000)); // of sound and video
    start.kill('SIGINT');
    await once(start, 'exit');

    expect(said).toContain('recordings ended and uploaded: 2');
    const rows = await stores.db('recordings').select('id', 'state', 'reason');
    for (const id of Object.values(recorded))
      expect(rows.find((row: { id: string }) => row.id === id)).toMatchObject({
        state: 'completed',
        reason: 'stopped',
      });
    for (const [id, format] of [
      [recorded.room, 'mp4'],
      [recorded.call, 'wav'],
    ] as const) {
      const [file] = await readdir(join(dir, 'kept', id));
      const path = join(dir, 'kept', id, file!);
      const { playable, durationMs } = await inspectMedia(path, format);
      expect([id, playable]).toEqual([id, true]);
      expect(durationMs).toBeGreaterThan(4000);
      expect((await readFile(path)).length).toBeGreaterThan(10_000);
    }
  });
});
