/** Brings leases and sessions together: a lease without a living session is given back, a session without its lease takes it. */
import type { SessionDeps } from './sessions';
import { clearIdleLeases, listWithoutLease, lockLease, lockSession, takeLease } from './sessions.store';

/**
 * Both are written in one transaction, so neither comes about by a crash: but a hand in the database, a restored backup
 * or a fault of ours would keep a room closed, or open twice, for ever. A room has one living session at most, so nobody
 * else has what it lacks; and people may talk in it.
 */
export async function sweepLeases(deps: SessionDeps, now: Date): Promise<void> {
  const cleared = await clearIdleLeases(deps.db);
  if (cleared.length > 0) {
    deps.countOrphan?.('lease', cleared.length);
    deps.logger.warn({ rooms: cleared }, 'leases without a living session were given back');
  }
  for (const session of await listWithoutLease(deps.db)) {
    const holds = await deps.log.record(async (trx) => {
      const lease = await lockLease(trx, session.room_id);
      const living = await lockSession(trx, session.id);
      if (lease.session_id !== null || !living?.node_id || living.state === 'ended') return false;
      return takeLease(trx, lease, { nodeId: living.node_id, sessionId: living.id, at: now });
    });
    if (!holds) continue;
    deps.countOrphan?.('lease');
    deps.logger.warn({ sessionId: session.id }, 'a session that did not hold its room holds it again');
  }
}
