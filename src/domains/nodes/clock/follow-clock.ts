/** Follows a node's clock for as long as its events are taken in: measures it, writes it down, says it once, and has it set. */
import { randomUUID } from 'node:crypto';
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import { runEvery } from '../../../infra/flow/interval';
import { storeClock } from '../../../infra/store-clock';
import { probe, syncClockWhenIdle, type EventClock, type NodeConnection } from '../../../freeswitch/esl';
import type { EventLog } from '../../events/events';
import { POOL_STREAM } from '../../events/events.store';
import { CLOCK } from '../limits';
import type { NodeRow } from '../nodes.store';
import { decideSync, explainClock, isSkewed, type ClockHindrance, type ClockRow } from './judge';
import { hearTime, isDoubtful, readTime, silentUntilMs, type NodeClock } from './node-clock';
import { countWhatASyncTouches, findNodeClock, saveNodeClock } from './node-clocks.store';

export interface FollowClockDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  commandTimeoutMs: number;
}

export interface FollowedClock extends EventClock {
  /** Reads what is written down: another replica may have followed it until now. Before a connection tells anything. */
  begin(): Promise<void>;
  /** Asks the node for its time: before anything that it lists is read. */
  measure(connection: NodeConnection): Promise<void>;
  /** Until when its clock explains that it sends no HEARTBEAT. */
  silentUntilMs(): number;
  stop(): Promise<void>;
}

/** @param connection the one whose events are taken in; undefined while there is none */
export function followClock(
  deps: FollowClockDeps,
  node: Pick<NodeRow, 'id' | 'name' | 'clock'>,
  connection: () => NodeConnection | undefined,
): FollowedClock {
  let clock: NodeClock | null = node.clock;
  let saved: ClockRow | null = node.clock;
  let savedAtMs = -Infinity;
  let askedAtMs = -Infinity;
  let isDoubted = false;
  let syncedAtMs = -Infinity;
  let hindrance: ClockHindrance | null = node.clock?.hindrance ?? null;

  const ask = async (open: NodeConnection): Promise<void> => {
    askedAtMs = storeClock.nowMs();
    isDoubted = false;
    await open.bgapi(probe(), { jobId: randomUUID(), timeoutMs: deps.commandTimeoutMs });
  };

  /** Read again where that can help, not more often than it may. */
  async function sync(open: NodeConnection, offsetMs: number): Promise<void> {
    if (storeClock.nowMs() - syncedAtMs < (hindrance === 'machine' ? CLOCK.retryMs : CLOCK.askEveryMs)) return;
    const decision = decideSync({ offsetMs, ...(await countWhatASyncTouches(deps.db, node.id)) });
    syncedAtMs = storeClock.nowMs();
    if (decision === 'phones') {
      hindrance = 'phones';
      return;
    }
    const { text } = await open.api(syncClockWhenIdle(), { timeoutMs: deps.commandTimeoutMs });
    if (!/synchronized/.test(text)) {
      hindrance = 'calls';
      return;
    }
    await ask(open);
    hindrance = clock && isSkewed(true, clock.offsetMs) ? 'machine' : null;
    deps.logger.info(
      { node: node.name, wasOffsetMs: offsetMs, offsetMs: clock?.offsetMs },
      'a node read its clock again',
    );
  }

  /** Written where it says something new, and now and then that it was looked at. */
  async function save(now: NodeClock): Promise<void> {
    const wasSkewed = saved?.isSkewed ?? false;
    const skewed = isSkewed(wasSkewed, now.offsetMs);
    if (!skewed) hindrance = null;
    const nowMs = storeClock.nowMs();
    const isNews =
      skewed !== wasSkewed ||
      hindrance !== (saved?.hindrance ?? null) ||
      now.past.length !== saved?.past.length ||
      Math.abs(now.offsetMs - saved.offsetMs) >= CLOCK.tellMs ||
      nowMs - savedAtMs >= CLOCK.writeEveryMs;
    if (!isNews) return;
    const record = { ...now, isSkewed: skewed, measuredAt: storeClock.now().toISOString(), hindrance };
    await deps.log.record(async (trx, emit) => {
      await saveNodeClock(trx, node.id, record);
      if (skewed === wasSkewed) return;
      const data = { name: node.name, offsetMs: now.offsetMs, limitMs: CLOCK.limitMs };
      emit({ stream: POOL_STREAM, type: skewed ? 'node.clock_skewed' : 'node.clock_right', nodeId: node.id, data });
    });
    if (skewed !== wasSkewed || (skewed && hindrance !== saved?.hindrance)) {
      const words = explainClock(record) ?? 'its clock is right again';
      deps.logger.warn({ node: node.name, offsetMs: now.offsetMs, limitMs: CLOCK.limitMs }, `a node: ${words}`);
    }
    [saved, savedAtMs] = [record, nowMs];
  }

  async function check(): Promise<void> {
    const open = connection();
    if (!open?.isOpen) return;
    const isDue = storeClock.nowMs() - askedAtMs >= CLOCK.askEveryMs;
    if (isDue || isDoubted) await ask(open);
    if (!clock) return;
    await save(clock);
    if (!isSkewed(saved?.isSkewed ?? false, clock.offsetMs)) return;
    await sync(open, clock.offsetMs);
    await save(clock);
  }
  const schedule = runEvery(`the clock of ${node.name}`, CLOCK.lookMs, deps.logger, check);

  return {
    hear(nodeMs, askedMs) {
      const told = { nodeMs, arrivedMs: storeClock.nowMs(), askedMs };
      if (clock && isDoubtful(clock, told)) isDoubted = true;
      clock = hearTime(clock, told);
    },
    read: (nodeMs) => readTime(clock, nodeMs, storeClock.nowMs()),
    readDeadline: (nodeMs) => nodeMs - (clock?.offsetMs ?? 0),
    async begin() {
      const known = await findNodeClock(deps.db, node.id).catch(() => undefined);
      if (known === undefined) return; // the database is away: it is followed from what is known here
      [clock, saved, hindrance] = [known, known, known?.hindrance ?? null];
    },
    measure: (open) => ask(open).catch(() => undefined), // else by what comes
    silentUntilMs: () => (clock ? silentUntilMs(clock) : -Infinity),
    stop: () => schedule.stop(),
  };
}
