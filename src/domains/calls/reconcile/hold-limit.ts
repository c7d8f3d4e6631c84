/** Hangs up calls that were on hold for too long, and says so: a phone that was put down and forgotten holds for ever. */
import { dumpChannel, hangupLegs, readDump, setVariable, type ApiCommand } from '../../../freeswitch/esl';
import type { RoomEndings } from '../../rooms/participants/leave-reasons.store';
import { findLastAttempt, listHeldLegs, type HeldLeg } from '../calls.store';
import { moveCall, moveCalls } from '../events/move-calls';
import type { CallEndDeps } from '../events/move-calls';

export interface HoldLimitDeps extends CallEndDeps, Pick<RoomEndings, 'noteLeaveReason'> {}

/** At once; the next round takes the next ones. */
const MOST = 100;
/** A node that did not do it is told again. */
const AGAIN_MS = 30_000;

/** A hold that was asked for over REST is no phone's, and FreeSWITCH shows it nowhere: the channel carries it. */
const HOLD_VARIABLE = 'switchyard_hold';
export const noteHold = (legId: string, isHeld: boolean): ApiCommand =>
  setVariable(legId, HOLD_VARIABLE, isHeld ? 'true' : '');

/**
 * What a node says of a leg counts, not what was written: the end of a hold may have come unseen, and two who talk again
 * are not cut off. @returns undefined where the node can't be asked now, or has no such channel
 */
async function isHeldNow(deps: HoldLimitDeps, leg: HeldLeg): Promise<boolean | undefined> {
  if (!leg.node_id) return undefined;
  const reply = await deps.links.api(leg.node_id, dumpChannel(leg.id)).catch(() => undefined);
  const dump = reply?.ok ? readDump(reply.text) : undefined;
  return dump && (dump['Channel-Call-State'] === 'HELD' || dump[`variable_${HOLD_VARIABLE}`] === 'true');
}

/** @param limitMs how long a call may be on hold @returns how many were told to end */
export async function endLongHolds(deps: HoldLimitDeps, now: Date, limitMs: number): Promise<number> {
  const before = new Date(now.getTime() - limitMs);
  const again = new Date(now.getTime() - AGAIN_MS);
  let ended = 0;
  for (const leg of await listHeldLegs(deps.db, { heldBefore: before, toldBefore: again, limit: MOST })) {
    const isHeld = await isHeldNow(deps, leg);
    if (isHeld === false) await takeBack(deps, leg);
    if (isHeld && (await endHeld(deps, leg, now))) ended += 1;
  }
  return ended;
}

/** No event told that they talk again. */
const takeBack = (deps: HoldLimitDeps, leg: HeldLeg): Promise<boolean> =>
  moveCall(deps, { kind: 'unheld', callId: leg.call_id, legId: leg.id });

/** The reason is written first: whoever learns of the end finds it. */
async function endHeld(deps: HoldLimitDeps, leg: HeldLeg, now: Date): Promise<boolean> {
  const callId = leg.call_id;
  const asked = { kind: 'hangup_asked' as const, callId, at: now, reason: 'hold_limit' as const, whileAnswered: true };
  const [isWritten] = await moveCalls(deps, [asked], async (trx, [isAsked]) => {
    if (isAsked) await deps.noteLeaveReason(trx, { callId }, 'hold_limit');
  });
  const attempt = isWritten ? await findLastAttempt(deps.db, callId) : undefined;
  if (!attempt?.node_id) return false;
  const carrying = { nodeId: attempt.node_id, legId: attempt.leg_id };
  await hangupLegs(deps, [carrying], 'ALLOTTED_TIMEOUT').catch((error: unknown) => {
    deps.logger.warn({ err: error, callId }, 'a call that is on hold for too long could not be ended now');
  });
  return true;
}
