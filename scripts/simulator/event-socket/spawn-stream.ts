/**
 * The few programs a node is told to run on its own files (`system`, `spawn_stream` …). They are done here, on the node's
 * own folder and nowhere else: a simulated node never runs a command of its machine.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { basename } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { NodeContext } from '../node-context';
import { readUpload, type Upload } from './curl-arguments';

export const SPAWN_STREAM_COMMANDS: ReadonlySet<string> = new Set([
  'curl_sendfile',
  'system',
  'spawn_stream',
  'bg_system',
  'bg_spawn',
  'spawn',
  'bgsystem',
]);
const NO_REPLY = '-ERR no reply\n';
const UPLOAD_TIMEOUT_MS = 120_000;

interface Ran {
  code: number;
  out: string;
}
const ok = (out = ''): Ran => ({ code: 0, out });
const failed = (code = 1, out = ''): Ran => ({ code, out });

/** @returns what the node answers: the program's output, or "no reply" where it printed nothing */
export async function spawnStream(node: NodeContext, command: string, line: string): Promise<string> {
  if (line.trim() === '') return '-USAGE: <command>\n';
  if (command === 'curl_sendfile') return sendForm(node, line);
  if (command.startsWith('bg') || command === 'spawn') {
    void runLine(node, line);
    return '+OK\n';
  }
  return (await runLine(node, line)).out || NO_REPLY;
}

/** `a && b`, `a || b`, `a; b`: as much of a shell as is asked for. */
async function runLine(node: NodeContext, line: string): Promise<Ran> {
  const parts = line.split(/\s*(&&|\|\||;)\s*/);
  let last = ok();
  let out = '';
  for (let i = 0; i < parts.length; i += 2) {
    const operator = parts[i - 1];
    if ((operator === '&&' && last.code !== 0) || (operator === '||' && last.code === 0)) continue;
    last = await runOne(node, wordsOf(parts[i] ?? ''), last.code);
    out += last.out;
  }
  return { code: last.code, out };
}

/** Quotes as a shell takes them; redirections of errors are left out. */
function wordsOf(text: string): string[] {
  const words = [...text.matchAll(/(?:'([^']*)'|"((?:\\.|[^"\\])*)"|(\\.|[^\s'"\\])|(\s+))/g)];
  const found: string[] = [];
  let word: string | undefined;
  for (const [, single, double, plain, blank] of words) {
    if (blank !== undefined) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else word = (word ?? '') + (single ?? double?.replace(/\\(.)/g, '$1') ?? plain?.replace(/^\\/, '') ?? '');
  }
  if (word !== undefined) found.push(word);
  return found.filter((w) => !/^[12]?>(&[12]|\/dev\/null)$/.test(w));
}

async function runOne(node: NodeContext, [path = '', ...args]: string[], lastCode: number): Promise<Ran> {
  const program = basename(path);
  const files = args.filter((a) => a.startsWith('/') && a !== '/dev/null');
  if (files.some((f) => !node.disk.owns(f) && f !== node.disk.folder)) return failed(1);
  try {
    switch (program) {
      case 'echo':
        return ok(`${args.join(' ').replace('$?', String(lastCode))}\n`);
      case 'true':
        return ok();
      case 'stat':
        return await statOf(args);
      case 'sha256sum':
        return ok(`${await sumOf(files[0] ?? '')}  ${files[0]}\n`);
      case 'base64':
        return ok((await readFile(files[0] ?? '')).toString('base64') + (args.includes('-w0') ? '' : '\n'));
      case 'cat':
        return ok((await Promise.all(files.map((f) => readFile(f, 'utf8')))).join(''));
      case 'rm':
        for (const f of files)
          await rm(f, { force: args.includes('-f') || args.includes('-rf'), recursive: args.includes('-rf') });
        return ok();
      case 'mkdir':
        for (const f of files) await mkdir(f, { recursive: true });
        return ok();
      case 'mv':
        await rename(files[0] ?? '', files[1] ?? '');
        return ok();
      case 'ls':
        return ok((await readdir(files[0] ?? node.disk.folder)).map((f) => `${f}\n`).join(''));
      case 'test':
      case '[':
        return (await stat(files[0] ?? '')).size > 0 || !args.includes('-s') ? ok() : failed();
      case 'df':
        return ok(await freeSpace(node));
      case 'curl':
        if (node.faults.withoutCurl) return failed(127);
        return args.includes('--version') ? ok('curl 7.88.1 (simulated)\n') : await upload(node, readUpload(args));
      default:
        return failed(127);
    }
  } catch {
    return failed();
  }
}

/** `-c FORMAT` (or `--printf`) with %s, %Y and %n. */
async function statOf(args: string[]): Promise<Ran> {
  const at = args.findIndex((a) => a === '-c' || a.startsWith('--format') || a.startsWith('--printf'));
  const given = args[at]?.includes('=') ? args[at]!.slice(args[at]!.indexOf('=') + 1) : (args[at + 1] ?? '%s');
  const files = args.filter((a) => a.startsWith('/'));
  const found = await Promise.all(files.map((file) => stat(file).catch(() => undefined)));
  const lines = found.flatMap((s, i) => {
    if (!s) return [];
    const seconds = String(Math.floor(s.mtimeMs / 1000));
    return [`${given.replace('%s', String(s.size)).replace('%Y', seconds).replace('%n', files[i]!)}\n`];
  });
  return { code: found.includes(undefined) ? 1 : 0, out: lines.join('') };
}

async function sumOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function freeSpace(node: NodeContext): Promise<string> {
  const { blocks, bavail, bsize } = await statfs(node.disk.folder);
  const free = node.faults.diskFull ? 0 : bavail;
  const kb = (n: number): number => Math.floor((n * bsize) / 1024);
  return `Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/disk ${kb(blocks)} ${kb(blocks - free)} ${kb(free)} ${Math.round((1 - free / blocks) * 100)}% /\n`;
}

/** curl's own exit codes: 22 for a refusal with -f, 7 where nobody answers, 28 for too late. */
function upload(node: NodeContext, o: Upload): Promise<Ran> {
  return new Promise((resolve) => {
    const url = new URL(o.url);
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const timer = setTimeout(() => call.destroy(new Error('too late')), o.timeoutMs ?? UPLOAD_TIMEOUT_MS);
    const call = send(url, { method: o.method, headers: o.headers, auth: o.credentials }, (response) => {
      const status = response.statusCode ?? 0;
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        clearTimeout(timer);
        const bytes = Buffer.concat(chunks);
        const body = bytes.toString('utf8');
        if (o.failsOnError && status >= 400) return resolve(failed(22, o.told(status, '')));
        if (o.output === undefined) return resolve(ok(o.told(status, body)));
        if (!node.disk.owns(o.output)) return resolve(o.output === '/dev/null' ? ok(o.told(status, '')) : failed(23));
        createWriteStream(o.output).end(bytes, () => resolve(ok(o.told(status, ''))));
      });
    });
    call.on('error', () => {
      clearTimeout(timer);
      resolve(failed(7, o.told(0, '')));
    });
    if (o.file === undefined) return void call.end(o.data);
    const file = createReadStream(o.file);
    file.on('error', () => call.destroy(new Error('no such file')));
    file.pipe(call);
  });
}

/** mod_curl's own way: the file as a form, by POST. `URL file=PATH nopost none` */
async function sendForm(node: NodeContext, line: string): Promise<string> {
  const [url = '', named = ''] = line.split(' ');
  const at = named.indexOf('=');
  const [field, path] = [named.slice(0, at), named.slice(at + 1)];
  if (at < 1 || !node.disk.owns(path)) return '-ERR\n';
  const boundary = `------------------------${randomBytes(8).toString('hex')}`;
  try {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${field}"; filename="${basename(path)}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
    const data = Buffer.concat([Buffer.from(head), await readFile(path), Buffer.from(`\r\n--${boundary}--\r\n`)]);
    const headers = {
      'Content-Type': `multipart/form-data; boundary=${boundary}`,
      'Content-Length': String(data.length),
    };
    const told = (status: number, body: string): string => `${status} ${body}`;
    const ran = await upload(node, { url, method: 'POST', headers, data, failsOnError: false, told });
    const status = Number(ran.out.split(' ')[0]);
    return status >= 200 && status < 300 ? `+${ran.out}\n` : `-${status || '0'} ${ran.out.slice(4)}\n`;
  } catch {
    return '-ERR\n';
  }
}
