/** Settles attempts whose leg is known to be over, and which nothing has settled: whoever learnt of the end died, or was too early. */
import { UNKNOWN_CAUSE } from '../events/call-end';
import { moveCalls } from '../events/move-calls';
import type { CallEndDeps } from '../events/move-calls';
import { listForgottenAttempts } from './sweep.store';

/** The end of a leg and that of its attempt are written one after the other. */
const GRACE_MS = 5000;

/** @returns how many there were */
export async function settleForgottenAttempts(deps: CallEndDeps, now: Date): Promise<number> {
  const forgotten = await listForgottenAttempts(deps.db, new Date(now.getTime() - GRACE_MS));
  const facts = forgotten.map(({ leg_id: legId, call_id: callId, hangup_cause: cause, ended_at: at }) => ({
    ...{ kind: 'attempt_over' as const, legId, callId },
    ...{ cause: cause ?? UNKNOWN_CAUSE, at },
  }));
  await moveCalls(deps, facts);
  if (forgotten.length > 0) deps.countOrphan?.('attempt', forgotten.length);
  if (forgotten.length > 0) deps.logger.warn({ count: forgotten.length }, 'attempts whose leg was over were settled');
  return forgotten.length;
}
