/** Ends attempts and calls, each once: whoever learns of an end first settles it, the others find it settled. */
import type { Db, Trx } from '../../../infra/stores/db';
import { showLegId } from '../../../infra/ids';
import type { Logger } from '../../../infra/logger';
import type { CountOrphan } from '../../../infra/metrics';
import { storeClock } from '../../../infra/store-clock';
import type { EventLog } from '../../events/events';
import type { EventDraft } from '../../events/events.store';
import { killChannel } from '../../../freeswitch/esl';
import type { Claims } from '../../nodes/capacity/claims';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import type { RefuseReport } from '../../nodes/trust/refused-reports';
import {
  closeAttempt,
  endLegsOfCall,
  findLastAttempt,
  listLegs,
  lockCall,
  updateCall,
  type CallRow,
  type LegRow,
} from '../calls.store';
import type { Handovers } from '../trust/handovers';
import type { StrayBudget } from '../trust/stray-records';
import { whoFailed } from '../dialing/who-failed';
import { decideAfterAttempt, type AttemptDecision, type CallOutcome } from './outcome';

export interface CallEndDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  claims: Claims;
  links: Pick<NodeConnections, 'api'>;
  /** Told of what was found on one side only, and settled. */
  countOrphan?: CountOrphan;
  /** Told of what a node says and is not believed. */
  refuseReport?: RefuseReport;
  /** Calls that crossed the pool while Postgres was away. */
  handovers?: Handovers;
  /** How many records of no call a node may leave; left out: none. */
  strayRecords?: StrayBudget;
}

/** The wait for other nodes to fall silent (15 s at most, see silence.ts) must leave time to find one. */
const LEAST_WAIT_MS = 20_000;

export type Emit = (draft: EventDraft) => void;

/** What every event of a call carries. A leg's id is a key, so the event has its hash. */
export function draftCallEvent(
  type: string,
  call: CallRow,
  { leg, ...data }: Record<string, unknown> & { leg?: string } = {},
): EventDraft {
  return {
    stream: call.domain_id,
    type,
    callId: call.id,
    nodeId: call.node_id,
    data: { from: call.from_address, to: call.to_address, ...data, ...(leg ? { leg: showLegId(leg) } : {}) },
  };
}

const secondsBetween = (from: Date | null, to: Date): number | null =>
  from ? Math.max(0, Math.round((to.getTime() - from.getTime()) / 100) / 10) : null;

/** Ends a call inside a transaction, where it is not ended yet. */
export async function endCall(
  trx: Trx,
  emit: Emit,
  call: CallRow,
  end: { outcome: CallOutcome; cause: string | null; at: Date; joinedInto?: string },
): Promise<boolean> {
  const talkSeconds = secondsBetween(call.answered_at, end.at);
  const done = await updateCall(trx, call.id, ['queued', 'placing', 'ringing', 'answered'], {
    state: 'ended',
    outcome: end.outcome,
    hangup_cause: end.cause,
    ended_at: end.at,
    talk_seconds: talkSeconds === null ? null : String(talkSeconds),
    joined_into: end.joinedInto ?? null,
  });
  if (!done) return false;
  await endLegsOfCall(trx, call.id, end.at, end.cause ?? 'NORMAL_CLEARING');
  const joined = end.joinedInto ? { joinedInto: end.joinedInto } : {};
  emit(draftCallEvent('call.ended', call, { outcome: end.outcome, hangupCause: end.cause, talkSeconds, ...joined }));
  return true;
}

/**
 * Settles the end of the leg that carries an attempt: the call goes back to the queue, or ends.
 * @param told.failed `phone` where the leg itself rang one, and failed by it
 * @returns what was decided, or undefined where the attempt was settled before.
 */
export async function settleAttempt(
  deps: CallEndDeps,
  legId: string,
  callId: string,
  told: { cause: string; at: Date; partnerCause?: string; failed?: 'phone' },
): Promise<AttemptDecision | undefined> {
  const settled = await deps.log.record(async (trx, emit) => {
    const call = await lockCall(trx, callId);
    if (!call) return undefined;
    // A node's clock may be behind: no call ends before it was asked for.
    const end = told.at < call.queued_at ? { ...told, at: call.queued_at } : told;
    const attempt = await findLastAttempt(trx, callId);
    if (!attempt || attempt.leg_id !== legId) return undefined;
    const decision = decideAfterAttempt({
      cause: end.cause,
      partnerCause: end.partnerCause,
      hangupReason: call.hangup_reason,
      failed: told.failed ?? (await whoFailed(trx, call, attempt, end.cause)),
      answered: call.answered_at !== null,
      rang: attempt.rang_at !== null,
      origin: call.origin,
      attempts: attempt.number,
      hangupRequested: call.hangup_requested_at !== null,
      nowMs: end.at.getTime(),
      placeBeforeMs: call.place_before.getTime(),
    });
    const result = decision.next === 'retry' ? 'retried' : decision.outcome;
    const legs = end.cause === 'NODE_DIED' ? await listLegs(trx, [callId]) : [];
    if (!(await closeAttempt(trx, legId, { ended_at: end.at, result, hangup_cause: end.cause }))) return undefined;
    if (decision.next === 'retry') await returnToQueue(trx, emit, call, end);
    else await endCall(trx, emit, call, { outcome: decision.outcome, cause: end.cause, at: end.at });
    return { decision, nodeId: attempt.node_id, legs };
  });
  if (!settled) return undefined;
  const { nodeId, legs } = settled;
  if (nodeId) await releaseClaim(deps, nodeId, callId);
  if (told.cause === 'NODE_DIED' && settled.decision.next === 'end') await endLegsElsewhere(deps, callId, legs, nodeId);
  return settled.decision;
}

/**
 * A node that died hangs up nothing: phones that it reached through other nodes would hear silence until the RTP
 * time-out. So the other nodes are told. Before a next attempt they are told by cancelStaleRinging(), which waits for them.
 */
async function endLegsElsewhere(deps: CallEndDeps, callId: string, legs: LegRow[], deadNodeId: string | null) {
  const left = legs.filter((leg) => leg.state !== 'ended' && leg.node_id && leg.node_id !== deadNodeId);
  const asked = left.map((leg) => deps.links.api(leg.node_id!, killChannel(leg.id, 'NORMAL_TEMPORARY_FAILURE')));
  for (const outcome of await Promise.allSettled(asked)) {
    if (outcome.status === 'rejected')
      deps.logger.warn({ err: outcome.reason, callId }, 'a leg is left to end by itself');
  }
}

/** Back to the queue, with a new time to find a node: the first one's refusal must not cost the call its chance. */
async function returnToQueue(trx: Trx, emit: Emit, call: CallRow, end: { cause: string; at: Date }): Promise<void> {
  const waitMs = Math.max(LEAST_WAIT_MS, call.place_before.getTime() - call.queued_at.getTime());
  await updateCall(trx, call.id, ['placing', 'ringing'], {
    state: 'queued',
    node_id: null,
    ringing_at: null,
    place_before: new Date(end.at.getTime() + waitMs),
  });
  await endLegsOfCall(trx, call.id, end.at, end.cause);
  emit(draftCallEvent('call.retrying', call, { node: call.node_name, hangupCause: end.cause }));
}

/** A claim that can't be given back now expires by itself. */
export async function releaseClaim(deps: CallEndDeps, nodeId: string, callId: string): Promise<void> {
  try {
    await deps.claims.release(nodeId, callId, storeClock.nowMs());
  } catch (error) {
    deps.logger.debug({ err: error, callId }, 'a claim is left to expire');
  }
}
