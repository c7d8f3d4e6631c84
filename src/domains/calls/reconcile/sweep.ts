/** Makes good what no event told of calls, in slices: a hundred thousand live calls must not be one long breath. */
import { findHolders, listClaimHolders } from '../../nodes/capacity/claim-holders.store';
import { CLAIM_TTL_MS, type HeldClaim } from '../../nodes/capacity/claims';
import { listDownNodes } from '../../nodes/nodes.store';
import { isTooLate } from '../dialing/decisions';
import { endQueued } from '../dialing/dial.job';
import type { FairQueue, WaitingCall } from '../queue/fair-queue';
import { createUnansweredWatch, type UnansweredWatch } from '../dialing/unanswered';
import { settleCallsOfNode, SILENCE_LIMIT_MS, SWEEP_INTERVAL_MS } from './reconcile-node';
import type { CallEndDeps } from '../events/move-calls';
import { countClaimHolders, listUnanswered, type UnansweredRow } from './sweep.store';

export interface SweepDeps extends CallEndDeps {
  queue: Pick<FairQueue, 'restore'>;
}

export interface CallSweep {
  /** One slice; with fewer than LEAST_SLICE live calls, all of them. Every call has its turn within a quarter of a claim's life. */
  step(now: Date): Promise<void>;
  /** Whether the next step begins a new round. */
  isAtStart(): boolean;
}

const PAGE = 1000;
/** A pool of this many live calls is looked at whole each time. */
const LEAST_SLICE = 500;
const STEPS_A_ROUND = Math.floor(CLAIM_TTL_MS / 4 / SWEEP_INTERVAL_MS);

/**
 * Looks at every live call in turn: it stands in the queue while it waits, has a claim while it is on a node, and ends
 * when its node has been silent for too long. Where Redis turns out to have forgotten claims, the round is run to its
 * end at once: until then its nodes look emptier than they are.
 */
export function createCallSweep(deps: SweepDeps): CallSweep {
  const watch = createUnansweredWatch(deps);
  let after: HeldClaim | undefined;
  let slice = LEAST_SLICE;

  async function keepClaims(now: Date): Promise<void> {
    if (!after) slice = Math.max(LEAST_SLICE, Math.ceil((await countClaimHolders(deps.db)) / STEPS_A_ROUND));
    let seen = 0;
    let forgotten = 0;
    while (seen < slice || forgotten > 0) {
      // A page is as much as all that waits beside it can wait for.
      const size = forgotten > 0 ? PAGE : Math.min(PAGE, slice - seen);
      const page = await listClaimHolders(deps.db, 'calls', after, size);
      forgotten += await deps.claims.keepAll(page, now.getTime(), (claims) => findHolders(deps.db, 'calls', claims));
      seen += page.length;
      after = page.length < size ? undefined : page.at(-1);
      if (!after) return;
    }
  }

  return {
    async step(now) {
      await tendUnanswered(deps, watch, now);
      await settleSilent(deps, now);
      await keepClaims(now).catch((error: unknown) => deps.logger.debug({ err: error }, 'claims are kept later'));
    },
    isAtStart: () => after === undefined,
  };
}

/** Who waits stands in the queue, since Redis may have lost it, or ends where its turn never came; what rings is looked after. */
async function tendUnanswered(deps: SweepDeps, watch: UnansweredWatch, now: Date): Promise<void> {
  const ringing: UnansweredRow[] = [];
  let before: string | undefined;
  do {
    const calls = await listUnanswered(deps.db, before, PAGE);
    const waiting: WaitingCall[] = [];
    for (const call of calls) {
      if (call.origin !== 'api') continue;
      if (call.state !== 'queued') ringing.push(call);
      else if (isTooLate(call, now.getTime())) await endQueued(deps, call.id, 'no_capacity');
      else waiting.push({ domainId: call.domain_id, callId: call.id });
    }
    await deps.queue.restore(waiting).catch(() => undefined); // while Redis is away they wait
    before = calls.length < PAGE ? undefined : calls.at(-1)!.id;
  } while (before);
  await watch.step(ringing, now);
}

/** A node that can't be asked keeps its calls for a while: see settleCallsOfNode. */
async function settleSilent(deps: SweepDeps, now: Date): Promise<void> {
  for (const node of await listDownNodes(deps.db)) {
    if (!node.down_since) continue;
    const refused = node.down_reason === 'refused';
    if (!refused && now.getTime() - node.down_since.getTime() < SILENCE_LIMIT_MS) continue;
    await settleCallsOfNode(deps, node.id, refused ? 'NODE_DIED' : 'NODE_UNKNOWN');
  }
}
