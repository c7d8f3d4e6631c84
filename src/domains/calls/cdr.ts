/** Takes in a node's call detail records: they settle times and causes, also of what no event has told. Each counts once. */
import { z } from 'zod';
import type { NodeRow } from '../nodes/nodes.store';
import { findAttemptOfLeg, findCall, findLeg, insertCdr, updateCall, updateLeg } from './calls.store';
import { decideAfterAttempt } from './outcome';
import { draftCallEvent, settleAttempt, type SettleDeps } from './settle';

const microseconds = z.coerce.number().min(0).catch(0);

/** What we read of mod_json_cdr's record; the whole of it is kept. */
const recordSchema = z.object({
  variables: z.object({
    uuid: z.uuid(),
    switchyard_call_id: z.uuid().optional().catch(undefined),
    hangup_cause: z.string().max(64).default('UNKNOWN'),
    progress_uepoch: microseconds,
    answer_uepoch: microseconds,
    end_uepoch: microseconds,
  }),
});

const dateOf = (us: number): Date | null => (us > 0 ? new Date(Math.round(us / 1000)) : null);

/**
 * @param record the parsed JSON of one leg
 * @returns `kept`, `known` (it came before), or `malformed` where it is no record of a leg
 */
export async function takeCdr(
  deps: SettleDeps,
  node: NodeRow,
  record: unknown,
): Promise<'kept' | 'known' | 'malformed'> {
  const parsed = recordSchema.safeParse(record);
  if (!parsed.success) return 'malformed';
  const v = parsed.data.variables;
  const leg = await findLeg(deps.db, v.uuid);
  const callId = leg?.call_id ?? v.switchyard_call_id ?? null;
  const fresh = await insertCdr(deps.db, {
    leg_id: v.uuid,
    node_id: node.id,
    call_id: callId,
    // Postgres keeps no NUL in jsonb, and a caller's name may hold one.
    record: JSON.stringify(record).replaceAll('\\u0000', ''),
  });
  if (!fresh) return 'known';
  const endedAt = dateOf(v.end_uepoch) ?? new Date();
  await settleLeg(deps, v, endedAt);
  if (callId) await settleCall(deps, v.uuid, callId, { cause: v.hangup_cause, at: endedAt });
  return 'kept';
}

async function settleLeg(
  deps: SettleDeps,
  v: z.output<typeof recordSchema>['variables'],
  endedAt: Date,
): Promise<void> {
  const ringingAt = dateOf(v.progress_uepoch);
  const answeredAt = dateOf(v.answer_uepoch);
  await updateLeg(deps.db, v.uuid, ['placing', 'ringing', 'answered', 'ended'], {
    state: 'ended',
    ended_at: endedAt,
    hangup_cause: v.hangup_cause,
    ...(ringingAt ? { ringing_at: ringingAt } : {}),
    ...(answeredAt ? { answered_at: answeredAt } : {}),
  });
}

/** Where the leg carried the call: ends it if nothing has, and puts right what was only guessed (`lost`). */
async function settleCall(
  deps: SettleDeps,
  legId: string,
  callId: string,
  end: { cause: string; at: Date },
): Promise<void> {
  const attempt = await findAttemptOfLeg(deps.db, legId);
  if (!attempt) return;
  if (!attempt.ended_at) {
    await settleAttempt(deps, legId, callId, end);
    return;
  }
  await deps.log.record(async (trx, emit) => {
    const call = await findCall(trx, callId);
    if (!call || call.state !== 'ended') return;
    const talkSeconds = call.answered_at ? Math.max(0, (end.at.getTime() - call.answered_at.getTime()) / 1000) : null;
    const times = {
      ended_at: end.at,
      talk_seconds: talkSeconds === null ? null : String(Math.round(talkSeconds * 10) / 10),
    };
    if (call.outcome !== 'lost') {
      await updateCall(trx, callId, ['ended'], { hangup_cause: end.cause, ...times });
      return;
    }
    const decision = decideAfterAttempt({
      cause: end.cause,
      answered: call.answered_at !== null,
      rang: attempt.rang_at !== null,
      origin: 'phone', // a record never makes a call ring again
      attempts: attempt.number,
      hangupRequested: call.hangup_requested_at !== null,
      nowMs: end.at.getTime(),
      placeBeforeMs: call.place_before.getTime(),
    });
    if (decision.next !== 'end' || decision.outcome === 'lost') return;
    await updateCall(trx, callId, ['ended'], { outcome: decision.outcome, hangup_cause: end.cause, ...times });
    emit(draftCallEvent('call.corrected', call, { outcome: decision.outcome, hangupCause: end.cause }));
  });
}
