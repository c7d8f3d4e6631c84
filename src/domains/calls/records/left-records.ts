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
  printFile,
  readGlobal,
  removeFile,
  type NodeConnection,
} from '../../../freeswitch/esl';
import type { NodeRow } from '../../nodes/nodes.store';
import { takeCdr } from '../cdr';
import type { SettleDeps } from '../settle';

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

export function createLeftRecords(deps: SettleDeps, nowMs: () => number): LeftRecords {
  const looked = new Map<string, number>();

  async function takeOne(node: NodeRow, connection: NodeConnection, path: string): Promise<boolean> {
    const printed = await connection.bgapi(printFile(path), job());
    const bytes = printed.ok ? parsePrinted(printed.text) : undefined;
    if (!bytes) return false; // it is being written, or gone
    const result = bytes.length > LARGEST_BYTES ? 'malformed' : await takeCdr(deps, node, readRecord(bytes));
    // As over HTTP: what can't be read, or is not believed, is not asked for again.
    await connection.bgapi(removeFile(path), job());
    if (result === 'malformed') deps.logger.warn({ node: node.name }, 'a call record could not be read');
    return result === 'kept';
  }

  return {
    async take(node, connection, isDue) {
      if (!isDue && nowMs() - (looked.get(node.id) ?? -LOOK_EVERY_MS) < LOOK_EVERY_MS) return 0;
      looked.set(node.id, nowMs());
      const logs = (await connection.api(readGlobal('log_dir'), { timeoutMs: TIMEOUT_MS })).text.trim();
      if (!ABSOLUTE.test(logs)) return 0;
      const listed = await connection.bgapi(listFolder(`${logs}/${FOLDER}`), job());
      const files = parseFolder(listed.text).filter(isLeftRecord).slice(0, MOST);
      let taken = 0;
      for (const file of files) if (await takeOne(node, connection, `${logs}/${FOLDER}/${file}`)) taken += 1;
      if (taken > 0)
        deps.logger.info({ node: node.name, taken }, 'call records that a node could not deliver were fetched');
      return taken;
    },
  };
}
