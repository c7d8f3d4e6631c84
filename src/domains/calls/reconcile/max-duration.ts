/** Hangs up calls that were answered too long ago: nobody talks for a day, somebody forgot to hang up. */
import type { Queryable } from '../../../infra/stores/db';
import { findLastAttempt } from '../calls.store';
import { hangUpTalk } from '../dialing/forked-legs';
import type { CallEndDeps } from '../events/call-end';

/** At once; the next round takes the next ones. */
const MOST = 200;
/** A node that did not do it is told again. */
const AGAIN_MS = 30_000;

/** Marks them as asked to end, each once in a while, whichever replica does it. @returns their ids */
async function claimOverlongCalls(db: Queryable, answeredBefore: Date, now: Date): Promise<string[]> {
  const old = db('calls')
    .where('state', 'answered')
    .where('answered_at', '<', answeredBefore)
    .where((w) => w.whereNull('hangup_requested_at').orWhere('hangup_requested_at', '<', new Date(+now - AGAIN_MS)))
    .limit(MOST)
    .select('id');
  const rows = (await db('calls')
    .whereIn('id', old)
    .where('state', 'answered')
    .update({ hangup_requested_at: now })
    .returning('id')) as { id: string }[];
  return rows.map((row) => row.id);
}

/**
 * The call ends as every call that is hung up: answered, with its whole length. One whose channel is gone is found by the
 * comparison. @param longestMs how long a call may be @returns how many were told to end
 */
export async function endOverlongCalls(deps: CallEndDeps, now: Date, longestMs: number): Promise<number> {
  const ids = await claimOverlongCalls(deps.db, new Date(now.getTime() - longestMs), now);
  for (const id of ids) {
    const attempt = await findLastAttempt(deps.db, id);
    if (!attempt?.node_id) continue;
    await hangUpTalk(deps, attempt, 'ALLOTTED_TIMEOUT').catch((error: unknown) => {
      deps.logger.warn({ err: error, callId: id }, 'a call that lasts too long could not be ended now');
    });
  }
  if (ids.length > 0) {
    deps.countOrphan?.('zombie', ids.length);
    deps.logger.warn({ count: ids.length }, 'calls that lasted too long were hung up');
  }
  return ids.length;
}
