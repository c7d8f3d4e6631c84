/** Ends calls whose time to wait is over, at whatever replica lives: no worker or supervisor is needed for that. */
import { runEvery, type Interval } from '../../../infra/flow/interval';
import { storeClock } from '../../../infra/store-clock';
import type { LeaderLease } from '../../../infra/stores/leader-lease';
import { listOverdue } from '../reconcile/sweep.store';
import type { CallEndDeps } from '../events/move-calls';
import { endQueued } from '../dialing/dial.job';

export const OVERDUE_EVERY_MS = 2000;
/** A worker that lives has just ended it, or is about to. */
const LEFT_TO_WORKERS_MS = 1000;
const MOST_AT_ONCE = 500;

/** @param turn so that one replica does it for all; while Redis is away each does, and a second end changes nothing */
export function watchOverdue(deps: CallEndDeps & { lease: LeaderLease }): Interval {
  return runEvery('calls that waited too long', OVERDUE_EVERY_MS, deps.logger, async () => {
    if (!(await deps.lease.acquire())) return;
    const before = new Date(storeClock.nowMs() - LEFT_TO_WORKERS_MS);
    for (const id of await listOverdue(deps.db, before, MOST_AT_ONCE)) await endQueued(deps, id, 'no_capacity');
  });
}
