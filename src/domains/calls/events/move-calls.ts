/** Feeds facts to the reducer: reads their calls, writes what it makes of them in one transaction, then does what is left to do. */
import type { Db, Trx } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import type { CountOrphan } from '../../../infra/metrics';
import type { EventLog } from '../../events/events';
import type { Claims } from '../../nodes/capacity/claims';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import type { RefuseReport } from '../../nodes/trust/refused-reports';
import type { Handovers } from '../trust/handovers';
import type { StrayBudget } from '../trust/stray-records';
import { isOwnId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import { hangupLegs } from '../../../freeswitch/esl';
import { parseAddress } from '../address';
import { hangUpAttempt } from '../dialing/forked-legs';
import type { CallRow } from '../calls.store';
import { hasPartIn } from '../trust/judge-report';
import { ChangedMeanwhile, listCallersPhones, loadCalls, saveCalls } from './call-batch.store';
import { CallsDraft, type LoadedCalls } from './call-draft';
import { idsOf, mayEndAttempt, type CallFact } from './call-facts';
import { reduceCalls, type ReducedCalls } from './reduce-call';
import type { CallContext, CallersPhone, Emit } from './reduction';

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

/** Whoever changes a leg without its call's lock does so once; more than a few times in a row are a fault of ours. */
const TRIES = 5;

/**
 * Moves calls by what has happened, in the order given. The same facts again change nothing, so whoever is not sure whether
 * they were written gives them again.
 * @returns of each fact whether it was one for its call as it was
 */
export async function moveCalls(
  deps: CallEndDeps,
  facts: readonly CallFact[],
  also?: (trx: Trx, applied: readonly boolean[]) => Promise<unknown>,
): Promise<boolean[]> {
  if (facts.length === 0) return [];
  for (let tries = 1; ; tries += 1) {
    try {
      const reduced = await deps.log.record(async (trx, emit) => {
        const written = await writeFacts(deps, trx, emit, facts);
        await also?.(trx, written.applied);
        return written;
      });
      await doWhatIsLeft(deps, reduced);
      return reduced.applied;
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile) || tries >= TRIES) throw error;
    }
  }
}

/** One fact alone. */
export const moveCall = async (deps: CallEndDeps, fact: CallFact): Promise<boolean> =>
  (await moveCalls(deps, [fact]))[0] ?? false;

/** Calls whose other end is no leg: somebody is in the room they called, or that called them. Within their transaction. */
export async function answerCall(trx: Trx, emit: Emit, callId: string, at: Date): Promise<void> {
  await writeFacts({}, trx, emit, [{ kind: 'entered', callId, at }]);
}

/** The part inside the transaction, for those who change more in the same one. */
export async function writeFacts(
  deps: Pick<CallEndDeps, 'handovers'>,
  trx: Trx,
  emit: Emit,
  facts: readonly CallFact[],
): Promise<ReducedCalls> {
  const loaded = await loadCalls(trx, collectIds(facts));
  const context = await readContext(deps, trx, loaded, facts);
  const reduced = reduceCalls(loaded, facts, context);
  await saveCalls(trx, reduced.changes);
  for (const event of reduced.events) emit(event);
  return reduced;
}

function collectIds(facts: readonly CallFact[]): { callIds: string[]; legIds: string[] } {
  const callIds = new Set<string>();
  const legIds = new Set<string>();
  for (const fact of facts) {
    const of = idsOf(fact);
    if (of.callId !== null && isOwnId(of.callId)) callIds.add(of.callId);
    for (const id of of.legIds) if (isOwnId(id)) legIds.add(id);
  }
  return { callIds: [...callIds], legIds: [...legIds] };
}

/** What decides beside the rows is looked up only for the calls where it may: most batches ask for none of it. */
async function readContext(
  deps: Pick<CallEndDeps, 'handovers'>,
  trx: Trx,
  loaded: LoadedCalls,
  facts: readonly CallFact[],
): Promise<CallContext> {
  const draft = new CallsDraft(loaded);
  const callers = new Map<string, { call_id: string; domain_id: string; username: string }>();
  const strangers = new Set<string>();
  for (const fact of facts) {
    const { legIds, callId } = idsOf(fact);
    const leg = legIds[0] === undefined ? undefined : draft.leg(legIds[0]);
    const call = draft.call(leg?.call_id ?? callId ?? '');
    if (!call) continue;
    const caller = mayEndAttempt(fact) && !callers.has(call.id) ? callerOf(call) : undefined;
    if (caller) callers.set(call.id, caller);
    if (fact.kind !== 'channel' || leg || hasPartIn({ draft }, fact.node.id, call)) continue;
    strangers.add(`${call.id} ${fact.node.id}`);
  }
  const nowMs = storeClock.nowMs();
  const phones = new Map<string, CallersPhone[]>();
  if (callers.size > 0) {
    for (const row of await listCallersPhones(trx, [...callers.values()], new Date(nowMs))) {
      const phone = { nodeId: row.node_id, isDead: row.is_dead };
      const known = phones.get(row.call_id);
      if (known) known.push(phone);
      else phones.set(row.call_id, [phone]);
    }
  }
  const handedOver = new Set<string>();
  for (const pair of deps.handovers ? strangers : []) {
    const [callId, nodeId] = pair.split(' ') as [string, string];
    if (await deps.handovers!.wasMade(callId, nodeId)) handedOver.add(pair);
  }
  return { nowMs, phones, handedOver };
}

/** Whose phones decide: only of calls that we placed, and that nobody has answered. */
function callerOf(call: CallRow): { call_id: string; domain_id: string; username: string } | undefined {
  if (call.origin !== 'api' || call.answered_at !== null || call.state === 'ended') return undefined;
  const from = parseAddress(call.from_address);
  if (from.kind !== 'user') return undefined;
  return { call_id: call.id, domain_id: call.domain_id, username: from.username };
}

/**
 * What was refused is counted, capacity given back, and nodes are told to end what nobody wants. None of it can fail the
 * facts, and nobody waits for a node's answer: in a batch there are facts of many nodes.
 */
async function doWhatIsLeft(deps: CallEndDeps, reduced: ReducedCalls): Promise<void> {
  for (const { node, about, details } of reduced.refusals) deps.refuseReport?.(node, about, details);
  for (const { callId, joined, node } of reduced.joined) {
    deps.logger.info({ callId, joined, node }, 'two calls are one: their far ends talk');
  }
  await releaseClaims(deps, reduced.released);
  for (const { nodeId, legId, callId, cause } of reduced.kills) {
    void hangupLegs(deps, [{ nodeId, legId }], cause).catch((error: unknown) => {
      deps.logger.warn({ err: error, callId }, 'a leg is left to end by itself');
    });
  }
  const unwanted = new Map(reduced.unwanted.map((attempt) => [attempt.call_id, attempt]));
  for (const attempt of unwanted.values()) {
    void hangUpAttempt(deps.links, attempt.node_id!, attempt, 'ORIGINATOR_CANCEL').catch((error: unknown) => {
      deps.logger.debug({ err: error, callId: attempt.call_id }, 'a call that nobody wants is ended by the sweep');
    });
  }
}

/** A claim that can't be given back now expires by itself. */
async function releaseClaims(
  deps: Pick<CallEndDeps, 'claims' | 'logger'>,
  claims: readonly { nodeId: string; callId: string }[],
): Promise<void> {
  const nowMs = storeClock.nowMs();
  const ofNodes = new Map<string, string[]>();
  for (const { nodeId, callId } of claims) ofNodes.set(nodeId, [...(ofNodes.get(nodeId) ?? []), callId]);
  const released = [...ofNodes].map(([nodeId, callIds]) =>
    deps.claims.release(nodeId, callIds, nowMs).catch((error: unknown) => {
      deps.logger.debug({ err: error, callIds }, 'claims are left to expire');
    }),
  );
  await Promise.all(released);
}
