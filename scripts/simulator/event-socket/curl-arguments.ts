/** Reads curl's arguments, as far as nodes are told to use them. */
import { statSync } from 'node:fs';

export interface Upload {
  url: string;
  method: string;
  headers: Record<string, string>;
  credentials?: string;
  file?: string;
  data?: string | Buffer;
  output?: string;
  failsOnError: boolean;
  timeoutMs?: number;
  /** What is printed, given the status and the body. */
  told: (status: number, body: string) => string;
}

/** Options that take a value, and the name they go by here. */
const VALUED: Record<string, string> = {
  '-T': 'file',
  '--upload-file': 'file',
  '-H': 'header',
  '--header': 'header',
  '-u': 'user',
  '--user': 'user',
  '-X': 'method',
  '--request': 'method',
  '-o': 'output',
  '--output': 'output',
  '-w': 'write',
  '--write-out': 'write',
  '-m': 'time',
  '--max-time': 'time',
  '-d': 'data',
  '--data': 'data',
  '--data-binary': 'data',
  '--connect-timeout': 'ignored',
  '--retry': 'ignored',
  '--retry-delay': 'ignored',
  '--retry-max-time': 'ignored',
  '--speed-limit': 'ignored',
  '--speed-time': 'ignored',
  '--limit-rate': 'ignored',
  '--cacert': 'ignored',
  '-K': 'ignored',
  '--url': 'url',
};

/** @throws Error where a file that is to be sent is not there */
export function readUpload(args: string[]): Upload {
  const given: Record<string, string> = {};
  const headers: Record<string, string> = {};
  let url = '';
  let failsOnError = false;
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i]!;
    const name = VALUED[arg];
    if (name === 'header') {
      const [key = '', value = ''] = args[++i]?.split(/:\s*(.*)/s) ?? [];
      headers[key] = value;
    } else if (name !== undefined) given[name] = args[++i] ?? '';
    else if (arg === '--fail' || arg === '--fail-with-body' || /^-\w*f/.test(arg)) failsOnError = true;
    else if (/^https?:\/\//.test(arg)) url = arg;
  }
  const data = given.data?.startsWith('@') ? undefined : given.data;
  const file = given.file ?? (given.data?.startsWith('@') ? given.data.slice(1) : undefined);
  if (file !== undefined) headers['Content-Length'] = String(statSync(file).size);
  const write = given.write;
  return {
    url: url || (given.url ?? ''),
    method: given.method ?? (given.file === undefined ? (given.data === undefined ? 'GET' : 'POST') : 'PUT'),
    headers,
    credentials: given.user,
    file,
    data,
    output: given.output,
    failsOnError,
    timeoutMs: given.time === undefined ? undefined : Number(given.time) * 1000,
    told: (status, body) =>
      body +
      (write === undefined
        ? ''
        : write.replace(/%\{(http_code|response_code)\}/g, String(status).padStart(3, '0')).replace(/\\n/g, '\n')),
  };
}
