/** Reads a stream of events as a product does, through every fault: it comes back with the last number it has. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../random';
import { ADMIN_KEY, type Replica } from '../cluster';

export interface StreamReader {
  /** The domain whose events it reads, or `pool`. */
  readonly name: string;
  readonly last: number;
  readonly count: number;
  readonly reconnects: number;
  /** Numbers that came twice, out of order, or not at all. */
  readonly faults: readonly string[];
  stop(): Promise<void>;
}

const PAUSE_MS = 300;
/** A heartbeat comes every 15 s; a replica that is paused is left for another. */
const SILENT_MS = 6000;

/** @param domain undefined reads the pool's own events */
export function startReader(domain: string | undefined, replicas: readonly Replica[], random: Random): StreamReader {
  const stopping = new AbortController();
  const faults: string[] = [];
  let last = 0;
  let count = 0;
  let reconnects = -1;

  function take(block: string): void {
    const field = (name: string): string | undefined =>
      block
        .split('\n')
        .find((line) => line.startsWith(`${name}: `))
        ?.slice(name.length + 2);
    const id = field('id');
    if (id === undefined) return;
    const number = Number(id);
    const type = field('event');
    if (type === undefined) {
      if (number !== last) faults.push(`told to come back with ${number}, while ${last} was the last event`);
      return;
    }
    if (type === 'gap') faults.push(`a gap after ${last}: ${field('data') ?? ''}`);
    else if (number !== last + 1) faults.push(`${type} ${number} came after ${last}`);
    else count += 1;
    last = number;
  }

  async function readOnce(): Promise<void> {
    const up = replicas.filter((r) => r.url && r.isRunning);
    if (up.length === 0) return;
    const query = new URLSearchParams({ since: String(last), ...(domain ? { domain } : {}) });
    const broken = new AbortController();
    let timer = setTimeout(() => broken.abort(), SILENT_MS);
    const give = (): void => broken.abort();
    stopping.signal.addEventListener('abort', give, { once: true });
    try {
      const response = await fetch(`${random.pick(up).url}/v1/events?${query.toString()}`, {
        headers: { authorization: `Bearer ${ADMIN_KEY}`, accept: 'text/event-stream' },
        signal: broken.signal,
      });
      if (response.status !== 200 || !response.body) {
        if (response.status >= 400 && response.status < 500 && response.status !== 404)
          faults.push(`since=${last} was answered with ${response.status}: ${await response.text()}`);
        return;
      }
      reconnects += 1;
      let text = '';
      const decoder = new TextDecoder();
      for await (const chunk of response.body) {
        clearTimeout(timer);
        timer = setTimeout(() => broken.abort(), SILENT_MS);
        text += decoder.decode(chunk as Uint8Array, { stream: true });
        const blocks = text.split('\n\n');
        text = blocks.pop() ?? '';
        for (const block of blocks) take(block);
      }
    } finally {
      clearTimeout(timer);
      stopping.signal.removeEventListener('abort', give);
    }
  }

  const going = (async () => {
    while (!stopping.signal.aborted) {
      await readOnce().catch(() => undefined);
      await sleep(PAUSE_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    name: domain ?? 'pool',
    get last() {
      return last;
    },
    get count() {
      return count;
    },
    get reconnects() {
      return Math.max(0, reconnects);
    },
    faults,
    async stop() {
      stopping.abort();
      await going;
    },
  };
}
