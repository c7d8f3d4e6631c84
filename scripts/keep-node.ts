/** Brings a media node back that ended by itself, as systemd or Docker would: the pool is there to outlive it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from './child';
import type { RealNode } from './launch-node';

/** One that ends sooner than this would end again: that is a fault of its setup, which `start` ends with. */
const STEADY_MS = 10_000;
/** Long enough to be seen as gone. */
const AGAIN_MS = 2000;

export interface KeepOptions {
  name: string;
  launch: () => Promise<RealNode>;
  say: (line: string) => void;
  steadyMs?: number;
  againMs?: number;
}

/** @returns a child that has ended only when it was stopped, or when it did not stay up. @throws where it can't start */
export async function keepNode(o: KeepOptions): Promise<Child> {
  let node = await o.launch();
  let running = true;
  const stopping = new AbortController();

  async function keep(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    for (;;) {
      const sinceMs = Date.now();
      const end = await node.ended;
      if (stopping.signal.aborted || Date.now() - sinceMs < (o.steadyMs ?? STEADY_MS)) return end;
      o.say(`${o.name} ended by itself, and is started again. What it wrote: ${node.logFile}`);
      await sleep(o.againMs ?? AGAIN_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return end;
      node = await o.launch().catch((fault: unknown) => {
        o.say(String(fault));
        return node; // its end is known already, and too soon
      });
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
    stop: async () => {
      stopping.abort();
      await node.stop();
      await ended;
      await node.stop(); // where it was just being started again
    },
  };
}
