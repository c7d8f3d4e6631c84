/** Registers many users with sipp, each once and with its password, and says how long all of them took. */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findFreePort } from '../../stores/ports';

export interface RegisterLoad {
  users: readonly { username: string; password: string }[];
  domain: string;
  /** At once, at most. */
  limit: number;
  sipPort: number;
  /** Where its files are put. */
  dir: string;
}

/** Begun a second: more than any node takes, so that `limit` is what counts. */
const RATE = 2000;
const TIMEOUT_MS = 120_000;

const request = (cseq: number, authorization: string): string => `<![CDATA[
REGISTER sip:[field1] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:[field0]@[field1]>;tag=[call_number]
To: <sip:[field0]@[field1]>
Call-ID: [call_id]
CSeq: ${cseq} REGISTER
Contact: <sip:[field0]@[local_ip]:[local_port]>
${authorization}Expires: 300
User-Agent: sipp
Content-Length: 0

]]>`;

const SCENARIO = `<?xml version="1.0" encoding="UTF-8"?>
<scenario name="register">
  <send retrans="500">${request(1, '')}</send>
  <recv response="100" optional="true"/>
  <recv response="401" auth="true"/>
  <send retrans="500">${request(2, '[field2]\n')}</send>
  <recv response="100" optional="true"/>
  <recv response="200"/>
</scenario>
`;

/** @returns milliseconds. @throws where one of them was not registered */
export async function registerAll(o: RegisterLoad): Promise<number> {
  const [scenario, list] = [join(o.dir, 'register.xml'), join(o.dir, 'users.csv')];
  const rows = o.users.map(
    ({ username, password }) => `${username};${o.domain};[authentication username=${username} password=${password}]`,
  );
  await writeFile(scenario, SCENARIO);
  await writeFile(list, ['SEQUENTIAL', ...rows, ''].join('\n'));
  const args = [
    ...['-sf', scenario, '-inf', list, '-r', String(RATE), '-l', String(o.limit), '-m', String(o.users.length)],
    ...['-i', '127.0.0.1', '-p', String(await findFreePort()), '-nostdin', `127.0.0.1:${o.sipPort}`],
  ];
  const began = performance.now();
  const child = spawn('sipp', args, { cwd: o.dir, stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_MS });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => lines.push(String(text)));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  if (code !== 0) throw new Error(`sipp ended with ${code}:\n${lines.join('').slice(-2000)}`);
  return performance.now() - began;
}
