/** A real RTMP server for the tests: nginx with its rtmp module, on loopback, in a folder of its own. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { startChild } from '../../../scripts/child';
import { findFreePort, isPortFree } from '../../../scripts/stores/ports';
import { until } from '../../until';

const run = promisify(execFile);
const MODULES = ['/usr/lib/nginx/modules/ngx_rtmp_module.so', '/usr/share/nginx/modules/ngx_rtmp_module.so'];

const find = (name: string): string | undefined =>
  [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));

/** What is missing on this machine; undefined where nothing is. */
export function missingForRtmp(): string | undefined {
  if (!find('nginx')) return 'no nginx found';
  if (!MODULES.some((file) => existsSync(file))) return "no nginx-rtmp found (Debian's libnginx-mod-rtmp)";
  return find('ffprobe') ? undefined : 'no ffprobe found';
}

export interface RtmpServer {
  readonly port: number;
  /** kill -9: connections break, as when the machine dies. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function startNginxRtmp(): Promise<RtmpServer> {
  const dir = await mkdtemp(join(tmpdir(), 'nginx-rtmp-'));
  const port = await findFreePort();
  const conf = join(dir, 'nginx.conf');
  await mkdir(join(dir, 'logs'));
  await writeFile(
    conf,
    `load_module ${MODULES.find((file) => existsSync(file))!};
daemon off; master_process off; worker_processes 1;
pid ${dir}/nginx.pid; error_log ${dir}/logs/error.log info;
events { worker_connections 256; }
rtmp { access_log off; server { listen 127.0.0.1:${port}; application live { live on; idle_streams off; } } }
`,
  );
  let child: ReturnType<typeof startChild> | undefined;
  const server: RtmpServer = {
    port,
    async start() {
      const args = ['-p', dir, '-c', conf, '-e', join(dir, 'logs', 'start.log')];
      child = startChild({ name: 'nginx', command: find('nginx')!, args, cwd: dir, logFile: join(dir, 'out.log') });
      await until('nginx listens', async () => !(await isPortFree(port)));
    },
    async kill() {
      process.kill(Number(await readFile(join(dir, 'nginx.pid'), 'utf8')), 'SIGKILL');
      await child?.ended;
    },
    async stop() {
      await child?.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

export interface ProbedStream {
  codec_type: string;
  codec_name: string;
  width?: number;
  height?: number;
  sample_rate?: string;
  nb_read_packets?: string;
}

/** What a viewer gets in some seconds. @throws where nothing can be read */
export async function probeStream(url: string, seconds: number): Promise<ProbedStream[]> {
  const show = 'stream=codec_type,codec_name,width,height,sample_rate,nb_read_packets';
  const args = ['-v', 'error', '-rw_timeout', '15000000', '-read_intervals', `%+${seconds}`, '-count_packets'];
  const { stdout } = await run(find('ffprobe')!, [...args, '-show_entries', show, '-of', 'json', url], {
    timeout: 40_000,
  });
  return (JSON.parse(stdout) as { streams: ProbedStream[] }).streams;
}
