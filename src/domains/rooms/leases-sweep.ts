/** Brings leases and sessions together: a lease without a living session is given back, a session without its lease ends. */
import { emptyRoom, endSession, type SessionDeps } from './sessions';
import { clearIdleLeases, listWithoutLease } from './sessions.store';

/**
 * Both are written in one transaction, so neither comes about by a crash: but a hand in the database, a restored backup
 * or a fault of ours would keep a room closed, or open twice, for ever.
 */
export async function sweepLeases(deps: SessionDeps, now: Date): Promise<void> {
  const cleared = await clearIdleLeases(deps.db);
  if (cleared.length > 0) {
    deps.countOrphan?.('lease', cleared.length);
    deps.logger.warn({ rooms: cleared }, 'leases without a living session were given back');
  }
  for (const session of await listWithoutLease(deps.db)) {
    const ended = await endSession(deps, session.id, 'superseded', now);
    if (!ended) continue;
    deps.countOrphan?.('session');
    deps.logger.warn({ sessionId: session.id }, 'a session that does not hold its room was ended');
    await emptyRoom(deps, session);
  }
}
