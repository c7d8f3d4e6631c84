/** Makes good what no event told of calls, in slices: a hundred thousand live calls must not be one long breath. */
import type { JobQueue } from '../../infra/queues';
import { findHolders, listClaimants } from '../nodes/claimants.store';
import { CLAIM_TTL_MS, type HeldClaim } from '../nodes/claims';
import { listDownNodes } from '../nodes/nodes.store';
import { settleCallsOfNode, SILENCE_LIMIT_MS, SWEEP_INTERVAL_MS, type ReconcileDeps } from './reconcile';
import { countClaimants, listUnanswered } from './sweep.store';
import { endCall } from './settle';

export interface SweepDeps extends ReconcileDeps {
  queue: JobQueue<{ callId: string }>;
}

export interface CallSweep {
  /** One slice; with fewer than LEAST_SLICE live calls, all of them. Every call has its turn within a quarter of a claim's life. */
  step(now: Date): Promise<void>;
  /** Whether the next step begins a new round. */
  isAtStart(): boolean;
}

/** A queued call whose job and everything else failed ends this long after its time. */
const QUEUE_MARGIN_MS = 5000;
const PAGE = 1000;
/** A pool of this many live calls is looked at whole each time. */
const LEAST_SLICE = 5000;
const STEPS_A_ROUND = Math.floor(CLAIM_TTL_MS / 4 / SWEEP_INTERVAL_MS);

/**
 * Looks at every live call in turn: it has a job while it is being dialled, a claim while it is on a node, and an end
 * when its node has been silent for too long. Where Redis turns out to have forgotten claims, the round is run to its
 * end at once: until then its nodes look emptier than they are.
 */
export function createCallSweep(deps: SweepDeps): CallSweep {
  let after: HeldClaim | undefined;
  let slice = LEAST_SLICE;

  async function keepClaims(now: Date): Promise<void> {
    if (!after) slice = Math.max(LEAST_SLICE, Math.ceil((await countClaimants(deps.db)) / STEPS_A_ROUND));
    let seen = 0;
    let forgotten = 0;
    while (seen < slice || forgotten > 0) {
      const page = await listClaimants(deps.db, 'calls', after, PAGE);
      forgotten += await deps.claims.keepAll(page, now.getTime(), (claims) => findHolders(deps.db, 'calls', claims));
      seen += page.length;
      after = page.length < PAGE ? undefined : page.at(-1);
      if (!after) return;
    }
  }

  return {
    async step(now) {
      await tendUnanswered(deps, now);
      await settleSilent(deps, now);
      await keepClaims(now).catch((error: unknown) => deps.logger.debug({ err: error }, 'claims are kept later'));
    },
    isAtStart: () => after === undefined,
  };
}

/** A job for each that is being dialled, since Redis may have lost it; an end for those whose time is over. */
async function tendUnanswered(deps: SweepDeps, now: Date): Promise<void> {
  let before: string | undefined;
  for (;;) {
    const calls = await listUnanswered(deps.db, before, PAGE);
    for (const call of calls) {
      if (call.state === 'queued' && call.place_before.getTime() + QUEUE_MARGIN_MS < now.getTime()) {
        await deps.log.record((trx, emit) =>
          endCall(trx, emit, call, { outcome: 'no_capacity', cause: null, at: now }).then(() => undefined),
        );
      } else if (call.origin === 'api') {
        await deps.queue.add(call.id, { callId: call.id }).catch(() => undefined);
      }
    }
    if (calls.length < PAGE) return;
    before = calls.at(-1)!.id;
  }
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
