/**
 * One turn of one domain: its first waiting call is placed and handed to its node, or put back. It never dials twice: a
 * call leaves `queued` in one statement, with its attempt written before anything is dialled.
 */
import { findLastAttempt, type CallRow } from '../calls.store';
import { moveCall } from '../events/move-calls';
import { placeCall, type PlaceDeps } from './placement';
import type { CallEndDeps } from '../events/move-calls';
import { cancelStaleRinging } from './cancel-stale-ringing';
import { decideQueued, isTooLate } from './decisions';
import type { FairQueue, TakenCall } from '../queue/fair-queue';
import type { Originates } from './originate';
import { countRinging, findDialable, type DialableRow } from './placement.store';
import type { ConcurrencyLimit } from '../../../infra/flow/concurrency-limit';
import { storeClock } from '../../../infra/store-clock';

export interface DialDeps extends PlaceDeps {
  queue: FairQueue;
  originates: Pick<Originates, 'dial'>;
  /** Leaves connections of `callPool` to requests: a burst of calls must not keep the next one from being answered. */
  placing: ConcurrencyLimit;
  /** Stops waiting when Switchyard stops; the call is then taken up by another replica, or at the next start. */
  signal: AbortSignal;
}

/** What may still ring elsewhere is looked for again after this. */
const SILENCE_AGAIN_MS = 300;
/** A call that failed here for a reason of its own, or of a store's, comes back after this. */
const FAILED_AGAIN_MS = 500;

/** What a signal of the queue makes a worker do. A worker is free again when the node has the call, or none is found. */
export async function runDialJob(deps: DialDeps): Promise<void> {
  const taken = await deps.queue.next();
  if (!taken) return;
  try {
    await takeStep(deps, taken);
  } catch (error) {
    deps.logger.warn({ err: error, callId: taken.callId }, 'a call could not be placed now: it is tried again');
    // Where Redis is what is away, the sweep puts it back.
    await deps.queue.defer(taken, FAILED_AGAIN_MS).catch(() => undefined);
  }
}

async function takeStep(deps: DialDeps, taken: TakenCall): Promise<void> {
  const call = await deps.placing.run(() => findDialable(deps.callPool, taken.callId, storeClock.now()));
  const last = call && call.attempts > 0 ? await findLastAttempt(deps.db, call.id) : undefined;
  const step = decideQueued(call, last, storeClock.nowMs());
  if (!call || step.do === 'leave') return;
  if (step.do === 'end') return endQueued(deps, call.id, step.outcome);
  if (Number(call.ringing) >= ringingAllowed(deps, call)) return waitForRinging(deps, taken, call);
  if (step.do === 'silence' && !(await cancelStaleRinging(deps, call, step.attempt))) {
    return deps.queue.defer(taken, SILENCE_AGAIN_MS);
  }
  const placed = await deps.placing.run(() => placeCall(deps, call));
  switch (placed.done) {
    case 'placed':
      await deps.queue.noteNode(taken).catch(() => undefined);
      return deps.originates.dial(call, placed.attempt);
    case 'at_limit':
      return waitForRinging(deps, taken, call);
    case 'no_node':
      return waitForNode(deps, call, taken);
    case 'unwanted':
      return endQueued(deps, call.id, 'cancelled');
  }
}

const ringingAllowed = (deps: DialDeps, call: DialableRow): number =>
  Number(call.most_ringing ?? deps.quotas.defaults.ringingCalls);

/** The end of a ringing call wakes the domain; one that ended while we counted has found nobody to wake. */
async function waitForRinging(deps: DialDeps, taken: TakenCall, call: DialableRow): Promise<void> {
  await deps.queue.suspendFull(taken);
  const ringing = await countRinging(deps.db, taken.domainId);
  if (ringing < ringingAllowed(deps, call)) await deps.queue.resumeDomain(taken.domainId);
}

async function waitForNode(deps: DialDeps, call: CallRow, taken: TakenCall): Promise<void> {
  const nowMs = storeClock.nowMs();
  if (isTooLate(call, nowMs)) return endQueued(deps, call.id, 'no_capacity');
  await deps.queue.suspendDry(taken, call.place_before.getTime() - nowMs + 1);
}

/** Ends a call that waits, where it still does; `no_capacity` only where its time is over by what is written now. */
export async function endQueued(
  deps: CallEndDeps,
  callId: string,
  outcome: 'cancelled' | 'no_capacity',
): Promise<void> {
  await moveCall(deps, { kind: 'never_placed', callId, outcome, at: storeClock.now() });
}
