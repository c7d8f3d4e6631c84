/**
 * Two calls become one where a node has bridged the far ends of both: those two talk, and whoever held the calls together
 * is out of them. The older call goes on, from its own beginning; the younger one ends into it.
 */
import type { Trx } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import type { NodeRow } from '../../nodes/nodes.store';
import { boundTime } from '../../nodes/trust/bounded-time';
import {
  closeAttempt,
  findLastAttempt,
  findLegWithCall,
  lockCall,
  updateCall,
  type CallRow,
  type LegRow,
} from '../calls.store';
import { draftCallEvent, endCall, releaseClaim, type Emit, type CallEndDeps } from '../events/call-end';
import { moveAttempt, moveLegs } from './joining.store';

/** As FreeSWITCH calls it where a phone has asked for it. */
const JOINED_CAUSE = 'ATTENDED_TRANSFER';

/**
 * A node tells that two of its channels hear each other. Both are known as legs of it, in two calls of one domain: whoever
 * bridges people of two domains makes no call of either, and each goes on by itself.
 * @returns whether this made one call of two
 */
export async function handleBridge(
  deps: CallEndDeps,
  node: NodeRow,
  pair: { legId: string; otherLegId: string; atMs: number },
): Promise<boolean> {
  const one = await findLegWithCall(deps.db, pair.legId);
  const other = one && (await findLegWithCall(deps.db, pair.otherLegId));
  if (!one || !other || one.call_id === other.call_id) return false;
  if (one.state === 'ended' || other.state === 'ended') return false;
  if (one.node_id !== node.id || other.node_id !== node.id) {
    deps.refuseReport?.(node, 'leg', { leg: pair.legId, callId: one.call_id });
    return false;
  }
  const [kept, moved] = one.call_id < other.call_id ? [one, other] : [other, one]; // ids sort by time
  const joined = await deps.log.record(async (trx, emit) => {
    const call = await lockCall(trx, kept.call_id);
    const gone = await lockCall(trx, moved.call_id);
    if (call?.state !== 'answered' || gone?.state !== 'answered' || call.domain_id !== gone.domain_id) return undefined;
    const { at } = boundTime(pair.atMs, gone.queued_at.getTime(), storeClock.nowMs());
    const leftNodeId = await joinCalls(trx, emit, { call, gone, kept, moved, node, at });
    return { gone, leftNodeId };
  });
  if (!joined) return false;
  const { gone, leftNodeId } = joined;
  if (gone.node_id) await releaseClaim(deps, gone.node_id, gone.id);
  if (leftNodeId) await releaseClaim(deps, leftNodeId, kept.call_id); // the sweep claims it where it is now
  deps.logger.info(
    { callId: kept.call_id, joined: gone.id, node: node.name },
    'two calls are one: their far ends talk',
  );
  return true;
}

interface Join {
  call: CallRow;
  gone: CallRow;
  /** The leg of the call that goes on. */
  kept: LegRow;
  /** The leg of the one that ends. */
  moved: LegRow;
  node: NodeRow;
  at: Date;
}

/** @returns the node that carried the call before, where that is another */
async function joinCalls(trx: Trx, emit: Emit, o: Join): Promise<string | undefined> {
  const { call, gone, kept, moved, at } = o;
  const held = await findLastAttempt(trx, gone.id);
  // Whoever held the younger call stays in it and ends with it; all others of it are on the way to the one who talks on.
  await moveLegs(trx, gone.id, call.id, held && held.leg_id !== moved.id ? held.leg_id : undefined);
  if (held) await closeAttempt(trx, held.leg_id, { ended_at: at, result: 'answered', hangup_cause: JOINED_CAUSE });
  await endCall(trx, emit, gone, { outcome: 'answered', cause: JOINED_CAUSE, at, joinedInto: call.id });
  const joined = { id: gone.id, from: gone.from_address, to: gone.to_address };
  emit(draftCallEvent('call.joined', call, { joined, node: o.node.name }));
  const carried = await findLastAttempt(trx, call.id);
  if (!carried || carried.ended_at || [kept.id, moved.id].includes(carried.leg_id)) return undefined;
  return moveCarrying(trx, call, carried.leg_id, kept.id, o.node);
}

/** @returns the node that carried it before, where that is another */
export async function moveCarrying(
  trx: Trx,
  call: CallRow,
  fromLegId: string,
  toLegId: string,
  node: NodeRow,
): Promise<string | undefined> {
  if (!(await moveAttempt(trx, fromLegId, { legId: toLegId, node }))) return undefined;
  if (call.node_id === node.id) return undefined;
  await updateCall(trx, call.id, ['answered'], { node_id: node.id });
  return call.node_id ?? undefined;
}
