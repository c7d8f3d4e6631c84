/** Hangs up calls that were answered too long ago: nobody talks for a day, somebody forgot to hang up. */
import { findLastAttempt } from '../calls.store';
import { hangUpTalk } from '../dialing/forked-legs';
import { moveCalls } from '../events/move-calls';
import type { CallEndDeps } from '../events/move-calls';
import { listAnsweredBefore } from './sweep.store';

/** At once; the next round takes the next ones. */
const MOST = 200;
/** A node that did not do it is told again. */
const AGAIN_MS = 30_000;

/**
 * The call ends as every call that is hung up: answered, with its whole length. One whose channel is gone is found by the
 * comparison. @param longestMs how long a call may be @returns how many were told to end
 */
export async function endOverlongCalls(deps: CallEndDeps, now: Date, longestMs: number): Promise<number> {
  const again = { answeredBefore: new Date(now.getTime() - longestMs), toldBefore: new Date(+now - AGAIN_MS) };
  const old = await listAnsweredBefore(deps.db, { ...again, limit: MOST });
  const asked = { kind: 'hangup_asked' as const, at: now, notSince: again.toldBefore, whileAnswered: true };
  const isAsked = await moveCalls(
    deps,
    old.map((callId) => ({ ...asked, callId })),
  );
  const ids = old.filter((_, i) => isAsked[i]);
  for (const id of ids) {
    const attempt = await findLastAttempt(deps.db, id);
    if (!attempt?.node_id) continue;
    await hangUpTalk(deps, attempt, 'ALLOTTED_TIMEOUT').catch((error: unknown) => {
      deps.logger.warn({ err: error, callId: id }, 'a call that lasts too long could not be ended now');
    });
  }
  if (ids.length > 0) {
    deps.countOrphan?.('max_duration', ids.length);
    deps.logger.warn({ count: ids.length }, 'calls that lasted too long were hung up');
  }
  return ids.length;
}
