/** Settles a call whose carrying leg is over once nobody of it is left at its node: until then they may talk on. */
import { storeClock } from '../../../infra/store-clock';
import { findLastAttempt, findLeg, listLegs, type LegRow } from '../calls.store';
import { hasOthersInTalk } from '../dialing/forked-legs';
import { settleAttempt, type CallEndDeps } from '../events/call-end';

/** What is written of a leg whose end nobody has told. */
export const UNKNOWN_CAUSE = 'NODE_UNKNOWN';

/** How a call ended, by its legs: where nobody knows how the carrying one did, another's end tells. Pure. */
export function readEnd(carrying: LegRow, legs: readonly LegRow[]): { cause: string; at: Date; partnerCause?: string } {
  const told = (leg: LegRow): boolean =>
    leg.state === 'ended' && leg.ended_at !== null && leg.hangup_cause !== null && leg.hangup_cause !== UNKNOWN_CAUSE;
  const answered = legs.filter((leg) => leg.answered_at !== null && told(leg));
  const [last] = answered
    .filter((leg) => leg.id !== carrying.id)
    .sort((a, b) => b.ended_at!.getTime() - a.ended_at!.getTime());
  const best = told(carrying) ? carrying : (last ?? carrying);
  const partnerCause = last?.hangup_cause ?? undefined;
  return { cause: best.hangup_cause ?? UNKNOWN_CAUSE, at: best.ended_at ?? storeClock.now(), partnerCause };
}

/** @returns whether the call was settled by this. Asking twice does no harm. */
export async function settleIfOver(deps: CallEndDeps, callId: string): Promise<boolean> {
  const attempt = await findLastAttempt(deps.db, callId);
  if (!attempt || attempt.ended_at) return false;
  const carrying = await findLeg(deps.db, attempt.leg_id);
  if (carrying?.state !== 'ended' || !carrying.answered_at) return false;
  if (await hasOthersInTalk(deps.db, attempt)) return false;
  const end = readEnd(carrying, await listLegs(deps.db, [callId]));
  return (await settleAttempt(deps, attempt.leg_id, callId, end)) !== undefined;
}
