/** Judges a node by more than its heartbeat: pure rules with hysteresis, and the one place where the verdict is written. */
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import { storeClock } from '../../../infra/store-clock';
import type { EventLog } from '../../events/events';
import { POOL_STREAM } from '../../events/events.store';
import { HEALTH } from '../limits';
import { lockNode, saveHealth, type NodeRow } from '../nodes.store';

/** What one look at a node saw. */
export interface Probe {
  at: Date;
  /** How long a conference command took, in milliseconds; null: it failed. */
  conferenceMs: number | null;
  /** `none`: the node has no WebSocket port of its own. */
  webSocket: 'open' | 'closed' | 'none';
  /** Null: all was well. */
  failure: string | null;
}

/** What all looks so far come to. */
export interface ProbeState {
  at: string;
  conferenceMs: number | null;
  webSocket: Probe['webSocket'];
  /** In a row, up to now. */
  failures: number;
  successes: number;
  /** Why the node must get no new calls; null: it may. */
  out: string | null;
}

/** How a synthetic call went; see canary.ts. */
export interface CanaryResult {
  at: string;
  ok: boolean;
  /** One leg heard the other's tone through the mixer. */
  heard: boolean;
  /** The room's own recording holds the tone. */
  recorded: boolean;
  /** From the first command until both were in the room. */
  setupMs: number | null;
  /** From the second one's entry until the tone was in what it heard. */
  mixedMs: number | null;
  /** Loudness of what was heard, in decibel below the loudest there can be. */
  levelDb: number | null;
  tookMs: number;
  failure: string | null;
}

/** Takes one look into account: out after several failures in a row, back after several good ones. */
export function judgeProbe(before: Partial<ProbeState>, seen: Probe): ProbeState {
  const failures = seen.failure === null ? 0 : (before.failures ?? 0) + 1;
  const successes = seen.failure === null ? (before.successes ?? 0) + 1 : 0;
  const state = { at: seen.at.toISOString(), conferenceMs: seen.conferenceMs, webSocket: seen.webSocket };
  const wasOut = before.out ?? null;
  if (wasOut === null) {
    return { ...state, failures, successes, out: failures >= HEALTH.failuresToLeave ? seen.failure : null };
  }
  return {
    ...state,
    failures,
    successes,
    out: successes >= HEALTH.successesToReturn ? null : (seen.failure ?? wasOut),
  };
}

/** Why a node must get no new calls, in words an operator can act on; null: it is well. */
export function explainHealth(node: Pick<NodeRow, 'probe' | 'canary'>): string | null {
  if (node.probe.out) return node.probe.out;
  if (node.canary && !node.canary.ok) return `the canary call failed: ${node.canary.failure ?? 'it was not heard'}`;
  return null;
}

export interface HealthDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
}

/** Writes down what was seen, and says so once where the verdict changes. @returns the node as it is now */
export async function recordHealth(
  deps: HealthDeps,
  nodeId: string,
  seen: { probe?: ProbeState; canary?: CanaryResult },
): Promise<NodeRow | undefined> {
  return deps.log.record(async (trx, emit) => {
    const before = await lockNode(trx, nodeId);
    if (!before) return undefined;
    const now = { probe: seen.probe ?? before.probe, canary: seen.canary ?? before.canary };
    const reason = explainHealth(now);
    const changed = (reason === null) !== (before.unhealthy_reason === null);
    const at = storeClock.now();
    await saveHealth(trx, nodeId, { ...now, reason, since: changed ? at : undefined });
    if (changed) {
      const type = reason === null ? 'node.healthy' : 'node.unhealthy';
      const why = reason === null ? { was: before.unhealthy_reason } : { reason };
      emit({ stream: POOL_STREAM, type, nodeId, data: { name: before.name, ...why } });
      deps.logger.warn({ node: before.name, ...why }, reason === null ? 'a node is well again' : 'a node is not well');
    }
    return { ...before, ...now, unhealthy_reason: reason, health_since: changed ? at : before.health_since };
  });
}

export interface PresentedHealth {
  healthy: boolean;
  reason: string | null;
  since: string | null;
  conferenceMs: number | null;
  webSocket: 'open' | 'closed' | 'none' | null;
  checkedAt: string | null;
  canary: CanaryResult | null;
}

export function presentHealth(
  row: Pick<NodeRow, 'unhealthy_reason' | 'health_since' | 'probe' | 'canary'>,
): PresentedHealth {
  return {
    healthy: row.unhealthy_reason === null,
    reason: row.unhealthy_reason,
    since: row.health_since?.toISOString() ?? null,
    conferenceMs: row.probe.conferenceMs ?? null,
    webSocket: row.probe.webSocket ?? null,
    checkedAt: row.probe.at ?? null,
    canary: row.canary,
  };
}
