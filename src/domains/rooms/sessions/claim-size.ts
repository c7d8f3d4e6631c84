/** Lets a session's claim follow who is in it: a room grows with those who come, and shrinks with those who leave. */
import { listParticipants } from '../participants/participants.store';
import { weigh } from './session-units';
import type { SessionDeps } from './sessions';
import { findSession, lockSession, updateSession } from './sessions.store';
import { storeClock } from '../../../infra/store-clock';

/**
 * Whoever is let in is let in, so a node may come to be past its capacity. Under the session's lock, as those who enter:
 * else who is just let in would be left out of it.
 */
export async function weighSession(deps: Pick<SessionDeps, 'db' | 'log' | 'claims'>, sessionId: string): Promise<void> {
  const nowMs = storeClock.nowMs();
  const weighed = await deps.log.record(async (trx) => {
    const session = await lockSession(trx, sessionId);
    if (!session || session.state === 'ended') return undefined;
    const seen = {
      ...session,
      isMoved: session.meeting_id !== session.id,
      openedAtMs: session.opened_at.getTime(),
    };
    const units = weigh(seen, await listParticipants(trx, sessionId), nowMs);
    if (units === Number(session.units)) return session;
    return updateSession(trx, sessionId, ['opening', 'live'], { units: String(units) });
  });
  if (!weighed?.node_id) return;
  await deps.claims.resize(weighed.node_id, weighed.id, Number(weighed.units), null, nowMs);
  if ((await findSession(deps.db, weighed.id))?.state === 'ended') {
    await deps.claims.release(weighed.node_id, weighed.id, storeClock.nowMs());
  }
}
