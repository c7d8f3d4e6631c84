/** Finds a node for a call and writes down which, why and with what leg, before anything is dialled. */
import { createId } from '../../../infra/ids';
import { holdNode, type Held, type HoldDeps } from '../../nodes/selection/reserve-node';
import type { NodeRow } from '../../nodes/nodes.store';
import type { Quotas } from '../../quotas/quotas';
import type { Refusal } from '../../quotas/refusals';
import { findRegistrationsOfUsers, findUserIds } from '../../registrations/registrations.store';
import type { Db } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import { parseAddress } from '../address';
import { fitsRinging } from './ringing.store';
import {
  findCall,
  insertAttempt,
  insertLeg,
  listAttempts,
  lockCall,
  savePlacement,
  updateCall,
  type AttemptRow,
  type CallRow,
} from '../calls.store';
import { draftCallEvent, releaseClaim, type SettleDeps } from '../events/call-end';

export interface PlaceDeps extends SettleDeps, HoldDeps {
  quotas: Pick<Quotas, 'look' | 'tryTake' | 'refuse'>;
}

async function readRegisteredNodeIds(db: Db, call: CallRow): Promise<string[]> {
  const from = parseAddress(call.from_address);
  if (from.kind !== 'user') return [];
  const user = await findUserIds(db, from.username, call.domain_name);
  if (!user) return [];
  return [...new Set((await findRegistrationsOfUsers(db, [user.id])).map((r) => r.node_id))];
}

async function claimNode(deps: PlaceDeps, call: CallRow, excludedNodeIds: readonly string[]): Promise<Held> {
  const registeredNodeIds = await readRegisteredNodeIds(deps.db, call);
  return holdNode(deps, {
    callId: call.id,
    units: Number(call.units),
    registeredNodeIds,
    excludedNodeIds,
    needs: ['calls'],
  });
}

export type Placed =
  | { done: 'placed'; attempt: AttemptRow; node: NodeRow }
  | { done: 'no_node' }
  /** Its domain has as many ringing calls as it may. */
  | { done: 'at_limit' }
  | { done: 'not_dialable' };

class AtLimit extends Error {}
class OverQuota extends Error {
  constructor(readonly refusal: Refusal) {
    super(refusal.quota);
  }
}

/**
 * Chooses a node and writes down the choice, its reasons, the node and the leg's id, all before anything is dialled.
 * A call that was hung up or taken by somebody else meanwhile is left alone and its claim given back.
 * @param ringingAllowed of its domain at once, this one counted
 */
export async function placeCall(deps: PlaceDeps, call: CallRow, ringingAllowed: number): Promise<Placed> {
  const wanted = { units: Number(call.units) };
  const full = await deps.quotas.look(call.domain_id, wanted);
  if (full) return waitForQuota(deps, call, full);
  const tried = await listAttempts(deps.db, [call.id]);
  const excluded = tried.flatMap((a) => (a.node_id ? [a.node_id] : []));
  let found = await claimNode(deps, call, excluded);
  // A node that refused before is better than none, once it serves again.
  if (!found.node && excluded.length > 0) found = await claimNode(deps, call, []);
  const number = tried.length + 1;
  const now = storeClock.now();
  const placement = {
    call_id: call.id,
    attempt: number,
    decided_at: now,
    node_id: found.node?.id ?? null,
    node_name: found.node?.name ?? null,
    policy: found.choice.policy,
    considered: found.choice.considered,
  };
  const node = found.node;
  if (!node) {
    await savePlacement(deps.db, placement);
    return { done: 'no_node' };
  }
  const attempt: AttemptRow = {
    call_id: call.id,
    number,
    node_id: node.id,
    node_name: node.name,
    node_core_uuid: node.core_uuid,
    leg_id: createId(),
    first_leg_id: null,
    placed_at: now,
    rang_at: null,
    ended_at: null,
    result: null,
    hangup_cause: null,
  };
  const write = deps.log.record(async (trx, emit) => {
    const locked = await lockCall(trx, call.id);
    if (!locked || locked.hangup_requested_at !== null) return false;
    if (!(await updateCall(trx, call.id, ['queued'], { state: 'placing', node_id: node.id, placing_at: now })))
      return false;
    await insertAttempt(trx, attempt);
    await insertLeg(trx, {
      id: attempt.leg_id,
      call_id: call.id,
      node_id: node.id,
      role: 'from',
      address: call.from_address,
      state: 'placing',
      created_at: now,
    });
    await savePlacement(trx, placement);
    emit(draftCallEvent('call.placing', { ...locked, node_id: node.id }, { node: node.name, attempt: number }));
    // Last, since the domain's other calls wait for it.
    const filled = await deps.quotas.tryTake(trx, call.domain_id, wanted);
    if (filled) throw new OverQuota(filled);
    if (!(await fitsRinging(trx, call.domain_id, ringingAllowed))) throw new AtLimit();
    return true;
  });
  const recorded = await write.catch(async (error: unknown) => {
    await giveBack(deps, node.id, call.id); // where it was written all the same, the sweep claims it again
    if (error instanceof AtLimit) return 'at_limit' as const;
    if (error instanceof OverQuota) return error;
    throw error;
  });
  if (recorded === 'at_limit') return { done: 'at_limit' };
  if (recorded instanceof OverQuota) return waitForQuota(deps, call, recorded.refusal);
  if (recorded) return { done: 'placed', attempt, node };
  await giveBack(deps, node.id, call.id);
  return { done: 'not_dialable' };
}

/** A claim is the call's, whoever made it: one that somebody else has placed on the same node meanwhile keeps it. */
async function giveBack(deps: PlaceDeps, nodeId: string, callId: string): Promise<void> {
  const now = await findCall(deps.db, callId).catch(() => undefined);
  if (now?.node_id === nodeId && now.state !== 'ended') return;
  await releaseClaim(deps, nodeId, callId);
}

/**
 * A call whose domain has as much claimed as it may waits in the queue like one without a node: it is tried again when a
 * claim is given back. It counts as refused when it may wait no longer.
 */
function waitForQuota(deps: Pick<PlaceDeps, 'quotas'>, call: CallRow, refusal: Refusal): Placed {
  if (storeClock.nowMs() > call.place_before.getTime()) deps.quotas.refuse(call.domain_id, refusal);
  return { done: 'no_node' };
}
