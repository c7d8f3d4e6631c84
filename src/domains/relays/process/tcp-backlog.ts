/** What a stalled server has not taken waits in the kernel, out of this process's sight: Linux tells how much. */
import { readFile } from 'node:fs/promises';

/**
 * Bytes in the kernel's send queues by `local:remote` port: sent but not acknowledged, and not yet sent.
 * @returns undefined where the kernel does not tell (anything but Linux)
 */
export async function readSendQueues(): Promise<Map<string, number> | undefined> {
  const texts = await Promise.all(
    ['/proc/self/net/tcp', '/proc/self/net/tcp6'].map((file) => readFile(file, 'latin1').catch(() => '')),
  );
  return texts[0] === '' ? undefined : parseSendQueues(texts.join('\n'));
}

/** Reads lines like `0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 …`; a pair of ports seen twice keeps the larger. */
export function parseSendQueues(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const [, local, remote, queue] of text.matchAll(
    /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]{2} ([0-9A-F]{8}):/gm,
  )) {
    const key = `${parseInt(local!, 16)}:${parseInt(remote!, 16)}`;
    found.set(key, Math.max(found.get(key) ?? 0, parseInt(queue!, 16)));
  }
  return found;
}
