/** Asks a node for its report while a clock that was set back keeps it from sending any: it lives, and takes calls. */
import type { Logger } from '../../../infra/logger';
import { runEvery, type Interval } from '../../../infra/flow/interval';
import { storeClock } from '../../../infra/store-clock';
import { askStatus, parseStatus, type HeartbeatEvent, type NodeConnection } from '../../../freeswitch/esl';

export interface MissingReports extends Interval {
  /** The node has sent one itself. */
  noteReport(): void;
}

/** @param o.silentUntilMs until when its clock explains a silence; one that is not explained stays one */
export function askMissingReports(o: {
  node: { name: string };
  everyMs: number;
  commandTimeoutMs: number;
  logger: Logger;
  silentUntilMs: () => number;
  connection: () => NodeConnection | undefined;
  take: (report: HeartbeatEvent, arrivedMs: number) => void;
}): MissingReports {
  let reportedAtMs = storeClock.nowMs();
  let isSaid = false;
  const schedule = runEvery(`reports of ${o.node.name}`, o.everyMs, o.logger, async () => {
    const nowMs = storeClock.nowMs();
    if (nowMs - reportedAtMs < 1.5 * o.everyMs || nowMs > o.silentUntilMs() + 2 * o.everyMs) return;
    const connection = o.connection();
    if (!connection?.isOpen) return;
    const reply = await connection.api(askStatus(), { timeoutMs: o.commandTimeoutMs });
    const status = parseStatus(reply.text);
    if (!status) return;
    if (!isSaid) o.logger.info({ node: o.node.name }, 'the clock of a node was set back: it is asked for its reports');
    isSaid = true;
    const who = { coreUuid: connection.coreUuid ?? '', hostname: o.node.name };
    const arrivedMs = storeClock.nowMs();
    o.take({ type: 'heartbeat', ...who, ...status, uptimeMs: 0, sessionsPerSecondLeft: 0, atMs: arrivedMs }, arrivedMs);
  });
  return {
    noteReport() {
      reportedAtMs = storeClock.nowMs();
      isSaid = false;
    },
    stop: () => schedule.stop(),
  };
}
