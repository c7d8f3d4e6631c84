/** A telephone as people have it: baresip, which finds its servers by SRV and goes to the next one where the first says 503. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { startChild, type Child } from '../../../scripts/child';

export function baresipBinary(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, 'baresip')).find((file) => existsSync(file));
}

/** Debian keeps them below its multiarch folder. */
function modulesOf(binary: string): string {
  const listed = ['/usr/lib', '/usr/local/lib'].filter((folder) => existsSync(folder));
  const found = execFileSync('find', [...listed, '-path', '*baresip*', '-name', 'account.so'], { encoding: 'utf8' });
  const first = found.split('\n')[0];
  if (!first) throw new Error(`${binary} has no modules`);
  return first.replace(/\/account\.so$/, '');
}

export interface BaresipOptions {
  dir: string;
  username: string;
  domain: string;
  password: string;
  /** Where it registers: a name that has SRV records, or an address. */
  server: string;
  transport: 'udp' | 'tcp';
  namePort: number;
  port: number;
  expiresSeconds: number;
}

export async function startBaresip(binary: string, o: BaresipOptions): Promise<Child> {
  await mkdir(o.dir, { recursive: true });
  const config = [
    `sip_listen 127.0.0.1:${o.port}`,
    `dns_server 127.0.0.1:${o.namePort}`,
    'dns_getaddrinfo no',
    `module_path ${modulesOf(binary)}`,
    'module g711.so',
    'module_app account.so',
    'module_app menu.so',
  ];
  const login = `auth_pass="${o.password}";regint=${o.expiresSeconds}`;
  const account = `<sip:${o.username}@${o.domain};transport=${o.transport}>;${login};outbound="sip:${o.server};transport=${o.transport}"`;
  await writeFile(join(o.dir, 'config'), `${config.join('\n')}\n`);
  await writeFile(join(o.dir, 'accounts'), `${account}\n`);
  await writeFile(join(o.dir, 'contacts'), '');
  return startChild({ name: 'baresip', command: binary, args: ['-f', o.dir], logFile: join(o.dir, 'output.log') });
}
