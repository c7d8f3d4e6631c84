/** Ends what is recorded before its nodes are stopped, and waits until the files are here: a node that ends too soon leaves a video that nothing can play. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../api/client';

/** Those that would go on by themselves. */
const RUNNING = ['starting', 'recording', 'interrupted', 'paused'];
/** Those whose files are on the way. */
const CLOSING = ['stopping', 'uploading'];
const LOOK_MS = 200;

export interface EndRecordings {
  api: Pick<ApiClient, 'get' | 'post'>;
  /** The nodes that are about to be stopped. */
  nodeNames: readonly string[];
  timeoutMs: number;
  /** Aborted by who can't wait. */
  hurry: AbortSignal;
  say: (line: string) => void;
}

/** Where other nodes serve nothing is ended: rooms go on there, with a next part. Never throws: what stops has to stop. */
export async function endRecordings(o: EndRecordings): Promise<void> {
  try {
    const { items } = await o.api.get<{ items: { name: string; state: string }[] }>('/v1/nodes');
    if (items.some(({ name, state }) => state === 'serving' && !o.nodeNames.includes(name))) return;
    const deadlineMs = Date.now() + o.timeoutMs;
    const ended = new Set<string>();
    for (;;) {
      const running = await list(o, RUNNING);
      for (const id of running) {
        await o.api.post(`/v1/recordings/${id}/stop`).catch(() => undefined); // it ended in the meantime
        ended.add(id);
      }
      const open = [...running, ...(await list(o, CLOSING))];
      if (open.length === 0) break;
      if (Date.now() > deadlineMs || o.hurry.aborted)
        return o.say(`  recordings still on their nodes, uploaded when they are back: ${open.length}`);
      await sleep(LOOK_MS, undefined, { signal: o.hurry }).catch(() => undefined);
    }
    if (ended.size) o.say(`  recordings ended and uploaded: ${ended.size}`);
  } catch (fault) {
    o.say(`  Running recordings couldn't be ended first: ${(fault as Error).message}`);
  }
}

async function list(o: Pick<EndRecordings, 'api'>, states: readonly string[]): Promise<string[]> {
  const pages = await Promise.all(
    states.map((state) => o.api.get<{ items: { id: string }[] }>(`/v1/recordings?state=${state}&limit=100`)),
  );
  return pages.flatMap(({ items }) => items.map(({ id }) => id));
}
