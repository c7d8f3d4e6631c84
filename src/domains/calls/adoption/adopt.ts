/** Makes a call's rows follow a conversation that goes on: the row that was over lives again, or is written again. */
import type { ChannelDump } from '../../../freeswitch/esl';
import { storeClock } from '../../../infra/store-clock';
import type { NodeRow } from '../../nodes/nodes.store';
import { boundTime } from '../../nodes/trust/bounded-time';
import { hasCdr, insertCall, insertLeg, lockCall, type CallRow } from '../calls.store';
import { draftCallEvent } from '../events/reduction';
import type { CallEndDeps } from '../events/move-calls';
import { hasDomain, reopenAttempt, reopenLegs, reviveCall } from './adopted.store';
import type { CallProof } from './proof';

/** What a phone's call and one of the API both hold. */
const UNITS = 1;
const RING_SECONDS = 30;

export interface Found {
  node: NodeRow;
  /** Its own record, if it came, says that this channel is over: then it is not believed any more. */
  channel: ChannelDump;
  /** All channels that the node has now. */
  livingLegIds: readonly string[];
  now: Date;
}

/** Within the call's own time. One whose ends are not connected yet is answered when its events say so. */
function answeredAt(found: Found, call: Pick<CallRow, 'queued_at'>): Date {
  const { channel, now } = found;
  const claimed = channel.bridgedAtMs ?? channel.answeredAtMs ?? now.getTime();
  return boundTime(claimed, call.queued_at.getTime(), now.getTime()).at;
}

/** A call that was given up, or missed its own going on, goes on. @returns whether it does by this */
export async function reviveFound(deps: CallEndDeps, callId: string, found: Found): Promise<boolean> {
  const { node, channel, livingLegIds, now } = found;
  if (await hasCdr(deps.db, channel.legId)) return false;
  const call = await deps.log.record(async (trx, emit) => {
    const before = await lockCall(trx, callId);
    if (before?.state !== 'ended') return undefined;
    const at = answeredAt(found, before);
    if (!(await reviveCall(trx, callId, { nodeId: node.id, answeredAt: at, now }))) return undefined;
    await reopenAttempt(trx, callId, { legId: channel.legId, livingLegIds, node, at });
    await reopenLegs(trx, callId, { nodeId: node.id, livingLegIds, at });
    const goesOn = { ...before, node_id: node.id, node_name: node.name };
    emit(draftCallEvent('call.adopted', goesOn, { node: node.name, was: before.outcome }));
    return goesOn;
  });
  if (call) await noteAdopted(deps, node, call);
  return call !== undefined;
}

/**
 * A call that no row tells of, as after an older backup was restored, is written down as its leg proves it.
 * @param isAnswered whether its two ends hear each other
 * @returns whether it was; not where its domain is unknown as well
 */
export async function adoptFound(
  deps: CallEndDeps,
  proof: CallProof,
  found: Found,
  isAnswered: boolean,
): Promise<boolean> {
  const { node, channel, now } = found;
  if (!(await hasDomain(deps.db, proof.domainId))) return false;
  const at = answeredAt(found, { queued_at: proof.queuedAt });
  const row = {
    id: proof.callId,
    domain_id: proof.domainId,
    origin: proof.origin,
    from_address: proof.from,
    to_address: proof.to,
    caller_name: '',
    state: isAnswered ? ('answered' as const) : ('ringing' as const),
    node_id: node.id,
    units: String(UNITS),
    ring_timeout_seconds: RING_SECONDS,
    place_before: now,
    queued_at: proof.queuedAt,
    placing_at: proof.queuedAt,
    ringing_at: at,
    answered_at: isAnswered ? at : null,
    adopted_at: now,
  };
  const isNew = await deps.log.record(async (trx, emit) => {
    if (!(await insertCall(trx, row))) return false;
    const role = channel.legRole === 'to' ? ('to' as const) : ('from' as const);
    await insertLeg(trx, {
      id: channel.legId,
      call_id: row.id,
      node_id: node.id,
      role,
      address: role === 'to' ? proof.to : proof.from,
      state: 'answered',
      created_at: boundTime(channel.createdAtMs ?? now.getTime(), proof.queuedAt.getTime(), now.getTime()).at,
      answered_at: at,
    });
    await reopenAttempt(trx, row.id, { legId: channel.legId, livingLegIds: [channel.legId], node, at: proof.queuedAt });
    const adopted = { ...row, node_name: node.name } as CallRow;
    emit(draftCallEvent('call.adopted', adopted, { node: node.name, was: null }));
    return true;
  });
  if (isNew) await noteAdopted(deps, node, { id: row.id, units: row.units });
  return isNew;
}

async function noteAdopted(deps: CallEndDeps, node: NodeRow, call: Pick<CallRow, 'id' | 'units'>): Promise<void> {
  deps.countOrphan?.('adopted');
  deps.logger.warn(
    { node: node.name, callId: call.id },
    'a call that goes on was adopted: its record was over, or missing',
  );
  // While Redis is away nothing is claimed: the sweep does it when that is back.
  await deps.claims.claim(node.id, call.id, Number(call.units), null, storeClock.nowMs()).catch(() => undefined);
}
