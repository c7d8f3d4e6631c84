/** The one real Switchyard of the run, in a process of its own that says what it costs. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { readConfig } from '../../../src/config';
import { createLogger } from '../../../src/infra/logger';
import { startSwitchyard } from '../../../src/main';

export interface Usage {
  /** Since the last time it was asked. */
  cpuPercent: number;
  rssMb: number;
  heapMb: number;
  /** How late its timers are. */
  loopP99Ms: number;
}

/** Starts with the process's environment. */
export function createOwnSwitchyard(): (order: { kind: 'start' | 'usage' | 'stop' }) => Promise<unknown> {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  let running: Awaited<ReturnType<typeof startSwitchyard>> | undefined;
  let before = { cpu: process.cpuUsage(), atMs: performance.now() };
  return async (order) => {
    if (order.kind === 'start') {
      const config = readConfig(process.env);
      running = await startSwitchyard(config, createLogger(config.logLevel));
      return { url: running.url };
    }
    if (order.kind === 'stop') return running?.stop().then(() => ({}));
    const now = { cpu: process.cpuUsage(), atMs: performance.now() };
    const busyMs = (now.cpu.user - before.cpu.user + now.cpu.system - before.cpu.system) / 1000;
    const usage: Usage = {
      cpuPercent: Math.round((busyMs / (now.atMs - before.atMs)) * 100),
      rssMb: Math.round(process.memoryUsage.rss() / 1e6),
      heapMb: Math.round(process.memoryUsage().heapUsed / 1e6),
      loopP99Ms: Math.max(0, Math.round(delay.percentile(99) / 1e6 - 10)),
    };
    delay.reset();
    before = now;
    return usage;
  };
}
