/** Finds a node for a call and writes down which, why and with what leg, before anything is dialled. */
import { createId } from '../../infra/ids';
import { holdNode, type Held, type HoldDeps } from '../nodes/hold';
import type { NodeRow } from '../nodes/nodes.store';
import type { Quotas } from '../quotas/quotas';
import type { Refusal } from '../quotas/refusals';
import { findRegistrationsOfUsers, findUserIds } from '../registrations/registrations.store';
import type { Db } from '../../infra/db';
import { parseAddress } from './address';
import {
  insertAttempt,
  insertLeg,
  listAttempts,
  lockCall,
  savePlacement,
  updateCall,
  type AttemptRow,
  type CallRow,
} from './calls.store';
import { draftCallEvent, releaseClaim, type SettleDeps } from './settle';

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
  return holdNode(deps, { callId: call.id, units: Number(call.units), registeredNodeIds, excludedNodeIds });
}

export type Placed =
  { done: 'placed'; attempt: AttemptRow; node: NodeRow } | { done: 'no_node' } | { done: 'not_dialable' };

/**
 * Chooses a node and writes down the choice, its reasons, the node and the leg's id, all before anything is dialled.
 * A call that was hung up or taken by somebody else meanwhile is left alone and its claim given back.
 */
export async function placeCall(deps: PlaceDeps, call: CallRow): Promise<Placed> {
  const wanted = { ringingCalls: 1, units: Number(call.units) };
  const full = await deps.quotas.look(call.domain_id, wanted);
  if (full) return waitForQuota(deps, call, full);
  const tried = await listAttempts(deps.db, [call.id]);
  const excluded = tried.flatMap((a) => (a.node_id ? [a.node_id] : []));
  let found = await claimNode(deps, call, excluded);
  // A node that refused before is better than none, once it serves again.
  if (!found.node && excluded.length > 0) found = await claimNode(deps, call, []);
  const number = tried.length + 1;
  const now = new Date();
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
    if (locked.state !== 'queued') return false;
    const filled = await deps.quotas.tryTake(trx, call.domain_id, wanted);
    if (filled) return filled;
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
    return true;
  });
  const recorded = await write.catch(async (error: unknown) => {
    await releaseClaim(deps, node.id, call.id); // where it was written all the same, the sweep claims it again
    throw error;
  });
  if (recorded === true) return { done: 'placed', attempt, node };
  await releaseClaim(deps, node.id, call.id);
  if (recorded) return waitForQuota(deps, call, recorded);
  return { done: 'not_dialable' };
}

/**
 * A call whose domain has as many ringing as it may, or as much claimed, waits in the queue like one without a node. It
 * counts as refused when it may wait no longer.
 */
function waitForQuota(deps: Pick<PlaceDeps, 'quotas'>, call: CallRow, refusal: Refusal): Placed {
  if (Date.now() > call.place_before.getTime()) deps.quotas.refuse(call.domain_id, refusal);
  return { done: 'no_node' };
}
