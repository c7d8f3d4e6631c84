/** What a node says of itself when it is asked, and how its clock is set. */
import type { ApiCommand } from '../commands/commands';

/** What a HEARTBEAT would say, as `status` tells it. */
export interface NodeStatus {
  sessionCount: number;
  maxSessions: number;
  idleCpuPercent: number;
  version: string | null;
}

export const askStatus = (): ApiCommand => ({ line: 'status' });

/** @returns undefined for what is no status */
export function parseStatus(text: string): NodeStatus | undefined {
  const sessions = /^(\d+) session\(s\) - peak/m.exec(text);
  const most = /^(\d+) session\(s\) max/m.exec(text);
  const idle = /^min idle cpu [\d.]+\/([\d.]+)/m.exec(text);
  if (!sessions || !most || !idle) return undefined;
  return {
    sessionCount: Number(sessions[1]),
    maxSessions: Number(most[1]),
    idleCpuPercent: Number(idle[1]),
    version: /^FreeSWITCH \(Version (\S+)/m.exec(text)?.[1] ?? null,
  };
}

/**
 * FreeSWITCH reads its machine's clock once, and goes on by a clock that nobody sets. This makes it read it again: at
 * once where it has no channel, else when the last one ends, since limits and time-outs of channels are times of day.
 */
export const syncClockWhenIdle = (): ApiCommand => ({ line: 'fsctl sync_clock_when_idle' });
