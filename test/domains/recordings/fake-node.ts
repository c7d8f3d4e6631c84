/** A node's command line for recordings, with real files and real uploads, that can be told to fail. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mp4Head, mp4Index } from '../../../scripts/simulator/media/mp4-file';
import type { NodeConnection, NodeEvent, Reply } from '../../../src/freeswitch/esl';
import { pcmFormat, wavHeader } from '../../../src/infra/wav';

export interface FakeNode {
  /** What it was told, in order. */
  commands: string[];
  /** Bytes each file gets when it ends. */
  fileBytes: number;
  /** A file that ends is left with this many bytes of its head. */
  leave: number | undefined;
  /** Events do not come. */
  isMute: boolean;
  /** Why a start is refused, where it is. */
  refusal: string | undefined;
  isUp: boolean;
  /** Sends something else than its file. */
  spoil: ((body: Buffer) => Buffer) | undefined;
  onEvent: (event: NodeEvent) => Promise<void>;
  writing: Set<string>;
  /** Makes a file longer. */
  grow(path: string, bytes: number): void;
  links: { api: NodeConnection['api']; isUp: () => boolean; connection: () => NodeConnection };
  asConnection: Pick<NodeConnection, 'api'>;
}

const OK: Reply = { ok: true, text: '' };
const ERR = (text: string): Reply => ({ ok: false, cause: 'ERR', text });

/** A wav file of silence: 16-bit stereo at 8 kHz. */
export function wavOf(bytes: number): Buffer {
  return Buffer.concat([wavHeader(pcmFormat(8000, 2), bytes), randomBytes(bytes)]);
}

/** An mp4 of noise that tells of one track with some frames. */
export const mp4Of = (bytes: number, durationMs: number): Buffer =>
  Buffer.concat([mp4Head(bytes), randomBytes(bytes), mp4Index(durationMs, 25)]);

export function createFakeNode(folder: string): FakeNode {
  const session = new Map<string, string>();
  const tell = (path: string, phase: 'start' | 'stop', ms = 0, error?: string): void => {
    if (node.isMute) return;
    const fields: Record<string, string> = { 'Milliseconds-Elapsed': String(ms), ...(error ? { Error: error } : {}) };
    const room = session.get(path) ?? '';
    const event = { type: 'room' as const, action: `${phase}-recording`, room, path, atMs: Date.now(), fields };
    setTimeout(() => void node.onEvent(event).catch(() => undefined), 5); // lost, as where the store is away
  };
  async function answer(line: string): Promise<Reply> {
    node.commands.push(line);
    if (!node.isUp) throw new Error('down');
    const words = line.split(' ');
    const path = words.at(-1)!;
    if (line === 'global_getvar recordings_dir') return { ok: true, text: folder };
    if (/^conference \S+ recording start/.test(line)) {
      if (node.refusal !== undefined) return ERR(node.refusal);
      session.set(path, words[1]!);
      node.writing.add(path);
      writeFileSync(path, Buffer.alloc(44));
      tell(path, 'start');
      return OK;
    }
    if (/^conference \S+ recording stop/.test(line)) {
      if (!node.writing.delete(path)) return ERR('non-existant recording');
      const ms = (node.fileBytes / 32_000) * 1000;
      const file = path.endsWith('.mp4') ? mp4Of(node.fileBytes, ms) : wavOf(node.fileBytes);
      writeFileSync(path, file.subarray(0, node.leave));
      tell(path, 'stop', ms);
      return OK;
    }
    if (line.endsWith('json_list')) {
      const members = [...node.writing].map((p) => ({ type: 'recording_node', record_path: p }));
      const name = words.length > 2 ? words[1] : 'any';
      return { ok: true, text: JSON.stringify([{ conference_name: name, members }]) };
    }
    if (line.startsWith('spawn_stream stat')) {
      const files = words.slice(4).filter((file) => existsSync(file));
      return { ok: true, text: files.map((file) => `${statSync(file).size}:${file}\n`).join('') };
    }
    if (line.startsWith('spawn_stream sha256sum')) {
      const sum = createHash('sha256').update(readFileSync(path)).digest('hex');
      return { ok: true, text: `${sum}  ${path}\n` };
    }
    if (line.startsWith('spawn_stream rm')) rmSync(path, { force: true });
    if (line.startsWith('spawn_stream df')) return { ok: true, text: 'F B U A C M\n/dev/x 1000 900 100 90% /\n' };
    if (line.startsWith('curl_sendfile')) return upload(words[1]!, words[2]!.slice(5));
    return ERR('no reply');
  }
  async function upload(url: string, file: string): Promise<Reply> {
    const read = readFileSync(file);
    const form = new FormData();
    form.set('file', new Blob([new Uint8Array(node.spoil ? node.spoil(read) : read)]), 'file');
    const sent = await fetch(url, { method: 'POST', body: form }).catch(() => undefined);
    return sent?.ok ? { ok: true, text: '+200 Ok' } : ERR(`-${sent?.status ?? 0} Err`);
  }
  const api: NodeConnection['api'] = (command) => answer(command.line);
  const node: FakeNode = {
    commands: [],
    fileBytes: 64_000,
    leave: undefined,
    isMute: false,
    refusal: undefined,
    isUp: true,
    spoil: undefined,
    onEvent: async () => undefined,
    writing: new Set(),
    grow: (path, bytes) => writeFileSync(path, Buffer.alloc(bytes)),
    asConnection: { api },
    links: {
      api: (_id, command) => answer((command as unknown as { line: string }).line),
      isUp: () => node.isUp,
      connection: () => ({ bgapi: (command: { line: string }) => answer(command.line) }) as unknown as NodeConnection,
    },
  };
  return node;
}

export const fileOf = (folder: string, partId: string, format = 'wav'): string => join(folder, `${partId}.${format}`);
