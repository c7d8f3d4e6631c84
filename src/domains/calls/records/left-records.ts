/**
 * Takes in the call records that a node could deliver to nobody. It tries for some seconds, then leaves each as a file
 * (mod_json_cdr's err-log-dir) and never thinks of it again: whoever holds the node's event stream fetches them, so it
 * does not matter which replica the node was told to write to.
 */
import { randomUUID } from 'node:crypto';
import {
  isLeftRecord,
  listFolder,
  parseFolder,
  parsePrinted,
  parseSizes,
  printFile,
  readGlobal,
  removeFile,
  weighFiles,
  type NodeConnection,
} from '../../../freeswitch/esl';
import { isUnreachable } from '../../../infra/stores/db';
import type { NodeRow } from '../../nodes/nodes.store';
import { handleCdr } from './cdr';
import type { CallEndDeps } from '../events/move-calls';

export interface LeftRecords {
  /**
   * @param isDue true: look now. Else only where the last look is some time ago.
   * @returns how many were taken in
   */
  take(node: NodeRow, connection: NodeConnection, isDue: boolean): Promise<number>;
}

const LOOK_EVERY_MS = 15_000;
/** At once; the next look takes the next ones. */
const MOST = 500;
/** Weighed by one command. */
const WEIGHED_AT_ONCE = 50;
/** Names of one node that are remembered as not to be read; past this the oldest are tried again. */
const MOST_UNREAD = 10_000;
const TIMEOUT_MS = 10_000;
/** A record of a video call has up to 100 kB. */
const LARGEST_BYTES = 1_000_000;
const job = () => ({ jobId: randomUUID(), timeoutMs: TIMEOUT_MS });
const FOLDER = 'json_cdr';
const ABSOLUTE = /^\/[A-Za-z0-9/_.@+-]{1,512}$/;

/** What is in the file: JSON, or the same percent-encoded where the node sends forms. */
function readRecord(bytes: Buffer): unknown {
  const text = bytes.toString('utf8').trim();
  try {
    return JSON.parse(text.startsWith('{') ? text : decodeURIComponent(text));
  } catch {
    return undefined;
  }
}

/** Those of which nothing came before are looked at last: an empty file, as a full disk leaves them, holds nobody up. */
function chooseFiles(names: readonly string[], unread: ReadonlySet<string>): string[] {
  const files = names.filter(isLeftRecord);
  return [...files.filter((name) => !unread.has(name)), ...files.filter((name) => unread.has(name))].slice(0, MOST);
}

type Taken = 'kept' | 'left' | 'removed';

export function createLeftRecords(deps: CallEndDeps, nowMs: () => number): LeftRecords {
  const looked = new Map<string, number>();
  const unread = new Map<string, Set<string>>();

  async function takeOne(node: NodeRow, connection: NodeConnection, path: string, bytes: number): Promise<Taken> {
    let result: Awaited<ReturnType<typeof handleCdr>> = 'malformed';
    // One that is too large is not even printed: its text would have to be held here.
    if (bytes <= LARGEST_BYTES) {
      const printed = await connection.bgapi(printFile(path), job());
      const record = printed.ok ? parsePrinted(printed.text) : undefined;
      if (!record) return 'left'; // it is being written, or gone
      result = await handleCdr(deps, node, readRecord(record));
    }
    // As over HTTP: what can't be read, or is not believed, is not asked for again.
    await connection.bgapi(removeFile(path), job());
    if (result === 'malformed') deps.logger.warn({ node: node.name }, 'a call record could not be read');
    return result === 'kept' ? 'kept' : 'removed';
  }

  /** One record that nobody can take in keeps no other back, and no node out of the pool. */
  async function tryOne(
    node: NodeRow,
    connection: NodeConnection,
    path: string,
    bytes: number | undefined,
  ): Promise<Taken> {
    if (bytes === 0) return 'left';
    try {
      return await takeOne(node, connection, path, bytes ?? 0);
    } catch (error) {
      if (isUnreachable(error) || !connection.isOpen) throw error;
      deps.logger.error({ err: error, node: node.name }, 'a call record that a node has left can not be taken in');
      return 'left';
    }
  }

  async function weigh(connection: NodeConnection, paths: readonly string[]): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    for (let from = 0; from < paths.length; from += WEIGHED_AT_ONCE) {
      const reply = await connection.bgapi(weighFiles(paths.slice(from, from + WEIGHED_AT_ONCE)), job());
      for (const [path, bytes] of parseSizes(reply.text)) sizes.set(path, bytes);
    }
    return sizes;
  }

  return {
    async take(node, connection, isDue) {
      if (!isDue && nowMs() - (looked.get(node.id) ?? -LOOK_EVERY_MS) < LOOK_EVERY_MS) return 0;
      looked.set(node.id, nowMs());
      const logs = (await connection.api(readGlobal('log_dir'), { timeoutMs: TIMEOUT_MS })).text.trim();
      if (!ABSOLUTE.test(logs)) return 0;
      const listed = await connection.bgapi(listFolder(`${logs}/${FOLDER}`), job());
      const before = unread.get(node.id) ?? new Set<string>();
      const files = chooseFiles(parseFolder(listed.text), before);
      const pathOf = (file: string): string => `${logs}/${FOLDER}/${file}`;
      const sizes = await weigh(connection, files.map(pathOf));
      let taken = 0;
      for (const file of files) {
        const result = await tryOne(node, connection, pathOf(file), sizes.get(pathOf(file)));
        if (result === 'kept') taken += 1;
        before.delete(file);
        if (result === 'left') before.add(file);
      }
      for (const file of before) if (before.size > MOST_UNREAD) before.delete(file);
      unread.set(node.id, before);
      if (taken > 0)
        deps.logger.info({ node: node.name, taken }, 'call records that a node could not deliver were fetched');
      return taken;
    },
  };
}
