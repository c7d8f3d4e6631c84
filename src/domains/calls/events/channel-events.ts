/** Takes in what nodes report of channels and moves legs and calls on; the same report twice changes nothing. */
import { isId } from '../../../infra/ids';
import type { Trx } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import type { ChannelEvent } from '../../../freeswitch/esl';
import type { NodeRow } from '../../nodes/nodes.store';
import { boundTime, putInOrder } from '../../nodes/trust/bounded-time';
import { ECHO_NUMBER } from '../../../infra/text/dialled-name';
import {
  findCall,
  findLastAttempt,
  findLeg,
  findLegWithCall,
  insertLeg,
  lockCall,
  markAttemptRang,
  markHeld,
  updateCall,
  updateLeg,
  type CallRow,
  type LegRole,
  type LegRow,
} from '../calls.store';
import { hangUpAttempt, isCarriedOn } from '../dialing/forked-legs';
import { handleBridge } from '../joining/join';
import { settleIfOver } from '../joining/last-leg';
import { draftCallEvent, settleAttempt, type Emit, type CallEndDeps } from './call-end';
import { refuseLegReport } from '../trust/reporting-node';

const ROLES: readonly string[] = ['from', 'to', 'transit'];
/** A bridge exports its role to every leg it makes; one that only leads to another node is on its way. */
function readRole(event: ChannelEvent): LegRole {
  if (event.profile === 'internode') return 'transit';
  return ROLES.includes(event.legRole ?? '') ? (event.legRole as LegRole) : 'to';
}

export async function handleChannelEvent(deps: CallEndDeps, node: NodeRow, event: ChannelEvent): Promise<void> {
  if (!isId(event.legId)) return;
  const known = await findLegWithCall(deps.db, event.legId);
  const callId = known?.call_id ?? event.callId;
  if (!callId || !isId(callId)) return; // a channel nobody asked us for
  // A leg ends in the transaction that settles its attempt, or behind it: nothing is left to do, which is half of all ends.
  if (known?.state === 'ended' && known.node_id === node.id) return;
  const refusal = await refuseLegReport(deps, node, { legId: event.legId, callId, known });
  if (refusal) {
    deps.refuseReport?.(node, refusal, { leg: event.legId, callId, phase: event.phase });
    return;
  }
  if (event.phase === 'hangup' || event.phase === 'destroyed') {
    await endLeg(deps, node, callId, known, event);
    return;
  }
  if (event.phase === 'bridged' && known && event.otherLegId && isId(event.otherLegId)) {
    await handleBridge(deps, node, { legId: event.legId, otherLegId: event.otherLegId, atMs: event.atMs });
    return;
  }
  if (known && !movesLeg(known, event)) {
    if (event.phase === 'created' && isUnwanted(known.call)) await endUnwanted(deps, callId);
    return;
  }
  const unwanted = await deps.log.record(async (trx, emit) => {
    const call = await lockCall(trx, callId);
    if (!call || call.state === 'ended') return false;
    const leg = known ?? (await ensureLeg(trx, emit, call, node, event));
    if (leg.node_id !== node.id) return false; // another node has told of it meanwhile
    await moveLeg(trx, emit, call, leg, { phase: event.phase, at: takeTime(deps, node, call, event.atMs) });
    return isUnwanted(call);
  });
  if (unwanted) await endUnwanted(deps, callId);
}

/** Somebody hung up before anybody answered: maybe before there was a channel that their node could end. */
const isUnwanted = (call: Pick<CallRow, 'state' | 'hangup_requested_at'>): boolean =>
  call.hangup_requested_at !== null && (call.state === 'placing' || call.state === 'ringing');

async function endUnwanted(deps: CallEndDeps, callId: string): Promise<void> {
  const attempt = await findLastAttempt(deps.db, callId);
  if (!attempt?.node_id || attempt.ended_at) return;
  await hangUpAttempt(deps.links, attempt.node_id, attempt, 'ORIGINATOR_CANCEL').catch((error: unknown) => {
    deps.logger.debug({ err: error, callId }, 'a call that nobody wants is ended by the sweep');
  });
}

interface LegMove {
  phase: ChannelEvent['phase'];
  at: Date;
}

/** When something came about in the call, within the call's own time. */
function takeTime(deps: CallEndDeps, node: NodeRow, call: CallRow, claimedMs: number): Date {
  const { at, isMoved } = boundTime(claimedMs, call.queued_at.getTime(), storeClock.nowMs());
  if (isMoved) deps.refuseReport?.(node, 'time', { callId: call.id });
  return at;
}

/** Most events tell nothing new of a leg that is known: they cost one look, and no transaction. */
export function movesLeg(known: Pick<LegRow, 'state'>, event: Pick<ChannelEvent, 'phase'>): boolean {
  switch (event.phase) {
    case 'progress':
    case 'progress_media':
      return known.state === 'placing';
    case 'answered':
      return known.state === 'placing' || known.state === 'ringing';
    case 'held':
    case 'unheld':
      return true;
    default:
      return false;
  }
}

async function ensureLeg(trx: Trx, emit: Emit, call: CallRow, node: NodeRow, event: ChannelEvent): Promise<LegRow> {
  const attempt = await findLastAttempt(trx, call.id);
  const role: LegRole = attempt?.leg_id === event.legId ? 'from' : readRole(event);
  const row: LegRow = {
    id: event.legId,
    call_id: call.id,
    node_id: node.id,
    role,
    address: role === 'from' ? call.from_address : call.to_address,
    state: 'placing',
    created_at: boundTime(event.createdAtMs ?? event.atMs, call.queued_at.getTime(), storeClock.nowMs()).at,
    ringing_at: null,
    answered_at: null,
    ended_at: null,
    hangup_cause: null,
    held_since: null,
  };
  if (!(await insertLeg(trx, row))) return (await findLeg(trx, event.legId)) ?? row;
  emit(draftCallEvent('call.leg_created', call, { leg: row.id, role, node: node.name }));
  return row;
}

async function moveLeg(trx: Trx, emit: Emit, call: CallRow, leg: LegRow, event: LegMove): Promise<void> {
  const { at } = event;
  if (event.phase === 'progress' || event.phase === 'progress_media') {
    const rang = await updateLeg(trx, leg.id, ['placing'], { state: 'ringing', ringing_at: at });
    if (rang && leg.role !== 'transit') await moveToRinging(trx, emit, call, leg, at);
  }
  if (event.phase === 'answered') {
    const answered = await updateLeg(trx, leg.id, ['placing', 'ringing'], {
      state: 'answered',
      answered_at: putInOrder(leg.ringing_at, at),
    });
    if (!answered || leg.role === 'transit') return;
    if (leg.role === 'to' || call.to_address === ECHO_NUMBER) await moveToAnswered(trx, emit, call, at);
    else await moveToRinging(trx, emit, call, leg, at);
  }
  if (event.phase === 'held' || event.phase === 'unheld') {
    if (await markHeld(trx, leg.id, event.phase === 'held' ? at : null))
      emit(draftCallEvent(`call.${event.phase}`, call, { leg: leg.id, role: leg.role }));
  }
}

async function moveToRinging(trx: Trx, emit: Emit, call: CallRow, leg: LegRow, at: Date): Promise<void> {
  if (call.state !== 'placing') return; // it is locked: what it rang with first is written
  await markAttemptRang(trx, call.id, at);
  if (await updateCall(trx, call.id, ['placing'], { state: 'ringing', ringing_at: at })) {
    emit(draftCallEvent('call.ringing', call, { node: call.node_name, leg: leg.id, role: leg.role }));
  }
}

async function moveToAnswered(trx: Trx, emit: Emit, call: CallRow, at: Date): Promise<void> {
  const answeredAt = putInOrder(call.ringing_at, at);
  if (await updateCall(trx, call.id, ['placing', 'ringing'], { state: 'answered', answered_at: answeredAt })) {
    emit(draftCallEvent('call.answered', call, { node: call.node_name }));
  }
}

/** Ends a leg; where it carried the attempt, the attempt is settled with it. */
async function endLeg(
  deps: CallEndDeps,
  node: NodeRow,
  callId: string,
  known: LegRow | undefined,
  event: ChannelEvent,
): Promise<void> {
  const call = await findCall(deps.db, callId);
  if (!call) return;
  const at = takeTime(deps, node, call, event.endedAtMs ?? event.atMs);
  const cause = event.hangupCause ?? known?.hangup_cause ?? 'UNKNOWN';
  const attempt = await findLastAttempt(deps.db, callId);
  if (attempt?.leg_id === event.legId && !attempt.ended_at && !(await isCarriedOn(deps.db, attempt, { cause }))) {
    const failed = event.registrationId === undefined ? undefined : 'phone';
    const told = { cause, at, partnerCause: event.partnerCause, failed } as const;
    if (await settleAttempt(deps, event.legId, callId, told)) return; // that ends all legs of the call
  }
  if (!known) return;
  await markLegEnded(deps, node, call, known, { cause, at });
  // The carrying leg may have ended before, with this one still in the call; or at this moment, told by its record.
  if (attempt && !attempt.ended_at && call.state === 'answered') await settleIfOver(deps, callId);
}

async function markLegEnded(
  deps: CallEndDeps,
  node: NodeRow,
  call: CallRow,
  known: LegRow,
  { cause, at }: { cause: string; at: Date },
): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    const ended = await updateLeg(trx, known.id, ['placing', 'ringing', 'answered'], {
      state: 'ended',
      ended_at: at,
      hangup_cause: cause,
    });
    if (ended) {
      const data = { leg: known.id, role: known.role, hangupCause: cause, node: node.name };
      emit(draftCallEvent('call.leg_ended', call, data));
    }
  });
}

/** A call whose other end is no leg: somebody is in the room they called, or that called them. */
export async function answerCall(trx: Trx, emit: Emit, callId: string, at: Date): Promise<void> {
  const call = await lockCall(trx, callId);
  if (call) await moveToAnswered(trx, emit, call, at);
}
