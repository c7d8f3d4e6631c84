/** The proxy of freeswitch/README.md before two replicas, run by nginx: what is written there is what is tried. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, type Child } from '../../child';
import { projectRoot } from '../../project';
import { findProgram } from '../../stores/redis';

export interface ProxyPorts {
  api: number;
  nodes: number;
  /** Of each replica. */
  replicas: readonly { http: number; nodes: number }[];
}

/** @throws where freeswitch/README.md has no such block, or other ports in it than those that are replaced */
function readmeBlock(ports: ProxyPorts): string {
  const readme = readFileSync(join(projectRoot(), 'freeswitch', 'README.md'), 'utf8');
  const shown = /```nginx\n([^]*?)\n *```/.exec(readme)?.[1];
  if (shown === undefined) throw new Error('freeswitch/README.md shows no nginx.');
  const [first, second] = ports.replicas;
  const block = shown
    .replace('listen 443 ssl;', `listen 127.0.0.1:${ports.api};`)
    .replace('listen 10.0.0.1:8443 ssl;', `listen 127.0.0.1:${ports.nodes};`)
    .replace('allow 10.0.0.0/8;', 'allow 127.0.0.1;')
    .replaceAll(/ssl_certificate(_key)? …;/g, '')
    .replaceAll(/ # .*/g, '')
    .replaceAll('127.0.0.1:8080 ', `127.0.0.1:${first!.http} `)
    .replaceAll('127.0.0.1:8081 ', `127.0.0.1:${second!.http} `)
    .replaceAll('127.0.0.1:8088 ', `127.0.0.1:${first!.nodes} `)
    .replaceAll('127.0.0.1:8089 ', `127.0.0.1:${second!.nodes} `);
  if (/…|:808\d /.test(block))
    throw new Error('freeswitch/README.md shows another nginx than the one that is known here.');
  return block;
}

/** @returns undefined where there is no nginx */
export function startProxy(dir: string, ports: ProxyPorts): Child | undefined {
  const nginx = findProgram('nginx') ?? findProgram('/usr/sbin/nginx');
  if (!nginx) return undefined;
  mkdirSync(dir, { recursive: true });
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`);
  const conf = join(dir, 'nginx.conf');
  writeFileSync(
    conf,
    `daemon off; master_process off; pid ${dir}/pid; error_log stderr warn;\nevents {}\nhttp { access_log off; ${temp.join(' ')}\n${readmeBlock(ports)}\n}\n`,
  );
  return startChild({ name: 'nginx', command: nginx, args: ['-e', 'stderr', '-c', conf], logFile: join(dir, 'log') });
}
