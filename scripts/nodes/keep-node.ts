/** Brings a media node back that ended by itself, as systemd or Docker would: the pool is there to outlive it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '../child';
import type { RealNode } from './launch-node';

/** Long enough to be seen as gone. */
const AGAIN_MS = 2000;
const LONGEST_PAUSE_MS = 60_000;
/** One that was up for so long is brought back at once; one that ends sooner waits longer each time. */
const STEADY_MS = 60_000;

export interface KeepOptions {
  name: string;
  launch: () => Promise<RealNode>;
  say: (line: string) => void;
  steadyMs?: number;
  againMs?: number;
  longestPauseMs?: number;
}

export interface KeptNode extends Child {
  /** It serves: from now on it is brought back whenever it ends. Before that its end is a fault of its setup. */
  markServed(): void;
}

/** How long to wait after so many ends in a row that came too soon. Pure. */
export const pauseMs = (endsInARow: number, againMs = AGAIN_MS, longestMs = LONGEST_PAUSE_MS): number =>
  Math.min(longestMs, againMs * 2 ** Math.min(20, endsInARow));

/** @returns a child that has ended only when it was stopped, or when it never served. @throws where it can't start */
export async function keepNode(o: KeepOptions): Promise<KeptNode> {
  let node = await o.launch();
  let running = true;
  let hasServed = false;
  const stopping = new AbortController();

  async function keep(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    for (let endsInARow = 0; ;) {
      const sinceMs = Date.now();
      const end = await node.ended;
      if (stopping.signal.aborted || !hasServed) return end;
      endsInARow = Date.now() - sinceMs < (o.steadyMs ?? STEADY_MS) ? endsInARow + 1 : 0;
      for (;;) {
        const waitMs = pauseMs(Math.max(0, endsInARow - 1), o.againMs, o.longestPauseMs);
        o.say(`${o.name} exited and is restarted${inSeconds(waitMs)}. Its output: ${node.logFile}`);
        await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => undefined);
        if (stopping.signal.aborted) return end;
        const next = await o.launch().catch((fault: unknown) => void o.say((fault as Error).message));
        if (next) {
          node = next;
          break;
        }
        endsInARow += 1;
      }
    }
  }

  const ended = keep().finally(() => (running = false));
  return {
    name: o.name,
    logFile: node.logFile,
    pid: Promise.resolve(node.pid),
    ended,
    isRunning: () => running,
    lastLines: (count) => node.lastLines(count),
    markServed: () => (hasServed = true),
    stop: async () => {
      stopping.abort();
      await node.stop();
      await ended;
      await node.stop(); // where it was just being started again
    },
  };
}

const inSeconds = (ms: number): string => (ms >= 1000 ? ` in ${Math.round(ms / 1000)} s` : '');
