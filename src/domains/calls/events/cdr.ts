/** Takes in a node's call detail records: they settle times and causes, also of what no event has told. Each counts once. */
import { z } from 'zod';
import { findJsonFaults } from '../../../infra/text/json-faults';
import { storeClock } from '../../../infra/store-clock';
import type { NodeRow } from '../../nodes/nodes.store';
import { readTime, type NodeClock } from '../../nodes/clock/node-clock';
import { findNodeClock } from '../../nodes/clock/node-clocks.store';
import { boundRecord, CLOCK_TOLERANCE_MS, putInOrder } from '../../nodes/trust/bounded-time';
import { ECHO_NUMBER } from '../../../infra/text/dialled-name';
import {
  findAttemptOfLeg,
  findCall,
  findLastAttempt,
  findLeg,
  hasCdr,
  insertCdr,
  lockCall,
  updateCall,
  updateLeg,
  type CallRow,
  type LegRow,
} from '../calls.store';
import { isCarriedOn } from '../dialing/forked-legs';
import { settleIfOver } from '../joining/last-leg';
import { decideAfterAttempt } from './outcome';
import { withoutSecrets } from './record-secrets';
import { draftCallEvent, settleAttempt, type CallEndDeps } from './call-end';
import { refuseLegReport } from '../trust/reporting-node';

/** Up to the year 2096: a Date holds no more than it can. */
const microseconds = z.coerce.number().min(0).max(4e15).catch(0);

/** What we read of mod_json_cdr's record; the whole of it is kept. */
const recordSchema = z.object({
  /** Which process of the node wrote it. */
  'core-uuid': z.string().max(64).optional().catch(undefined),
  variables: z.object({
    uuid: z.uuid(),
    switchyard_call_id: z.uuid().optional().catch(undefined),
    /** What the other end of its bridge ended with. */
    last_bridge_hangup_cause: z.string().max(64).optional().catch(undefined),
    /** Set once the leg was in a room: one that was refused at its door was answered, but not connected. */
    conference_uuid: z.string().min(1).optional().catch(undefined),
    hangup_cause: z
      .string()
      .regex(/^[A-Z0-9_]{1,64}$/)
      .catch('UNKNOWN'),
    progress_uepoch: microseconds,
    answer_uepoch: microseconds,
    bridge_uepoch: microseconds,
    end_uepoch: microseconds,
  }),
});

type Variables = z.output<typeof recordSchema>['variables'];

/** What the record tells of times, within the call's own. */
type Times = ReturnType<typeof boundRecord>;

/** Postgres keeps neither NUL nor half a surrogate pair in jsonb, and a caller's name may hold both. */
function writeRecord(record: unknown): string {
  const text = JSON.stringify(record);
  return text.replace(/\\\\|\\u(?:0000|d[89a-f][0-9a-f]{2})/g, (found) => (found === '\\\\' ? found : '\\ufffd'));
}

/** No channel's record is; what is would end whoever writes it down, here or in the database. */
const isTooDeep = (record: unknown): boolean => findJsonFaults(record).some(({ what }) => what === 'too_deep');

/**
 * A record is believed of the node, and the process, that had the leg. One of no call that we know changes nothing, and
 * only so many of them are kept.
 * @param record the parsed JSON of one leg
 * @returns `kept`, `known` (it came before), `refused` (the leg is another node's, or it is of no
 *   call and there were too many of those), or `malformed` where it is no record
 *   of a leg
 */
export async function handleCdr(
  deps: CallEndDeps,
  node: NodeRow,
  record: unknown,
): Promise<'kept' | 'known' | 'refused' | 'malformed'> {
  const parsed = isTooDeep(record) ? undefined : recordSchema.safeParse(record);
  if (!parsed?.success) return 'malformed';
  const v = parsed.data.variables;
  const leg = await findLeg(deps.db, v.uuid);
  const callId = leg?.call_id ?? v.switchyard_call_id ?? null;
  const call = callId ? await findCall(deps.db, callId) : undefined;
  if (!(await isBelieved(deps, node, leg, callId, parsed.data))) {
    deps.refuseReport?.(node, 'record', { leg: v.uuid, callId });
    return 'refused';
  }
  if (await hasCdr(deps.db, v.uuid)) return 'known';
  const text = writeRecord(withoutSecrets(record));
  if (!call && !(deps.strayRecords?.take(node.id, Buffer.byteLength(text)) ?? false)) {
    deps.refuseReport?.(node, 'record', { leg: v.uuid, callId });
    return 'refused';
  }
  const times = readTimes(v, call, leg, await findNodeClock(deps.db, node.id));
  if (times.isMoved && call) deps.refuseReport?.(node, 'time', { leg: v.uuid, callId });
  // Settled before it is kept: where the database goes away in between, the node sends it again and nothing is missed.
  await settleLeg(deps, v, leg, times);
  if (call) await settleCall(deps, v, call.id, { cause: v.hangup_cause, at: times.endedAt }, times);
  // The one that carries the call may be over as well, with nobody having told of this one yet.
  if (call?.state === 'answered') await settleIfOver(deps, call.id);
  const row = { leg_id: v.uuid, node_id: node.id, call_id: callId, record: text };
  if (!(await insertCdr(deps.db, row))) return 'known';
  return 'kept';
}

async function isBelieved(
  deps: CallEndDeps,
  node: NodeRow,
  leg: LegRow | undefined,
  callId: string | null,
  record: z.output<typeof recordSchema>,
): Promise<boolean> {
  if (!callId) return true; // of no call: it changes nothing, and is bounded by itself
  const legId = record.variables.uuid;
  if (await refuseLegReport(deps, node, { legId, callId, known: leg })) return false;
  // A machine made anew under this name knows nothing of the calls of the one before, whose core nobody else was told.
  const core = (await findAttemptOfLeg(deps.db, legId))?.node_core_uuid;
  const told = record['core-uuid'];
  return !core || !told || core === told;
}

function readTimes(v: Variables, call: CallRow | undefined, leg: LegRow | undefined, clock: NodeClock | null): Times {
  const nowMs = storeClock.nowMs();
  const sinceMs = (call?.queued_at ?? leg?.created_at)?.getTime() ?? 0;
  const ours = (us: number): number | null => (us > 0 ? readTime(clock, Math.round(us / 1000), nowMs) : null);
  const times = {
    ringingMs: ours(v.progress_uepoch),
    answeredMs: ours(v.answer_uepoch),
    bridgedMs: ours(v.bridge_uepoch),
    endedMs: ours(v.end_uepoch),
  };
  return boundRecord(times, sinceMs, nowMs);
}

async function settleLeg(deps: CallEndDeps, v: Variables, leg: LegRow | undefined, times: Times): Promise<void> {
  const ringingAt = times.ringingAt && putInOrder(leg?.created_at, times.ringingAt);
  const answeredAt = times.answeredAt && putInOrder(ringingAt ?? leg?.created_at, times.answeredAt);
  const endedAt = putInOrder(answeredAt ?? ringingAt ?? leg?.created_at, times.endedAt);
  await updateLeg(deps.db, v.uuid, ['placing', 'ringing', 'answered', 'ended'], {
    state: 'ended',
    ended_at: endedAt,
    hangup_cause: v.hangup_cause,
    ...(ringingAt ? { ringing_at: ringingAt } : {}),
    ...(answeredAt ? { answered_at: answeredAt } : {}),
  });
}

/** When the two ends were connected, as the caller's leg tells it. */
function connectedAt(v: Variables, call: CallRow, times: Times): Date | null {
  const isAlone = call.to_address === ECHO_NUMBER || v.conference_uuid !== undefined;
  const at = times.bridgedAt ?? (isAlone ? times.answeredAt : null);
  return at && putInOrder(call.ringing_at, at);
}

/** Where the leg carried the call: ends it if nothing has, and puts right what was only guessed (`lost`). */
async function settleCall(
  deps: CallEndDeps,
  v: Variables,
  callId: string,
  end: { cause: string; at: Date },
  times: Times,
): Promise<void> {
  const attempt = await findAttemptOfLeg(deps.db, v.uuid);
  if (!attempt) return;
  if (!attempt.ended_at) {
    await noteAnswer(deps, v, callId, times);
    if (await isCarriedOn(deps.db, attempt, end)) return;
    await settleAttempt(deps, v.uuid, callId, { ...end, partnerCause: v.last_bridge_hangup_cause });
    return;
  }
  await deps.log.record(async (trx, emit) => {
    const call = await lockCall(trx, callId);
    if (!call || call.state !== 'ended' || call.joined_into) return; // who talked on did so in another one
    // The record of a node that refused comes late, and says nothing of what the next one did.
    if ((await findLastAttempt(trx, callId))?.leg_id !== v.uuid) return;
    const answeredAt = call.answered_at ?? (call.outcome === 'lost' ? connectedAt(v, call, times) : null);
    const endedAt = latestEnd(call, end.at);
    const talkSeconds = answeredAt ? Math.max(0, (endedAt.getTime() - answeredAt.getTime()) / 1000) : null;
    const settled = {
      answered_at: answeredAt,
      ended_at: endedAt,
      talk_seconds: talkSeconds === null ? null : String(Math.round(talkSeconds * 10) / 10),
    };
    if (call.outcome !== 'lost') {
      await updateCall(trx, callId, ['ended'], { hangup_cause: end.cause, ...settled });
      return;
    }
    const decision = decideAfterAttempt({
      failed: 'phone',
      cause: end.cause,
      partnerCause: v.last_bridge_hangup_cause,
      hangupReason: call.hangup_reason,
      answered: answeredAt !== null,
      rang: attempt.rang_at !== null,
      origin: 'phone', // a record never makes a call ring again
      attempts: attempt.number,
      hangupRequested: call.hangup_requested_at !== null,
      nowMs: endedAt.getTime(),
      placeBeforeMs: call.place_before.getTime(),
    });
    if (decision.next !== 'end' || decision.outcome === 'lost') return;
    await updateCall(trx, callId, ['ended'], { outcome: decision.outcome, hangup_cause: end.cause, ...settled });
    emit(draftCallEvent('call.corrected', call, { outcome: decision.outcome, hangupCause: end.cause, talkSeconds }));
  });
}

/** A call that ended as it should does not go on in its record; one that was given up may have gone on until now. */
function latestEnd(call: CallRow, claimed: Date): Date {
  if (call.outcome === 'lost' || !call.ended_at) return claimed;
  return new Date(Math.min(claimed.getTime(), call.ended_at.getTime() + CLOCK_TOLERANCE_MS));
}

/** An answer that no event has told. */
async function noteAnswer(deps: CallEndDeps, v: Variables, callId: string, times: Times): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    const call = await lockCall(trx, callId);
    const at = call && call.answered_at === null ? connectedAt(v, call, times) : null;
    if (!call || !at) return;
    if (await updateCall(trx, callId, ['placing', 'ringing'], { state: 'answered', answered_at: at })) {
      emit(draftCallEvent('call.answered', call, { node: call.node_name }));
    }
  });
}
