/** Finds a node for a call and writes down which, why and with what leg, before anything is dialled. */
import type { Pool } from 'pg';
import { createId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import { FEATURES } from '../../nodes/features/features';
import {
  reserveWith,
  type LastLook,
  type ReserveDeps,
  type Reserved,
  type ReserveRequest,
} from '../../nodes/selection/reserve-node';
import type { Choice, NodeView } from '../../nodes/selection/select-node';
import type { Quotas } from '../../quotas/quotas';
import type { Refusal } from '../../quotas/refusals';
import { savePlacement, type AttemptRow } from '../calls.store';
import { draftCallEvent } from '../events/reduction';
import type { CallEndDeps } from '../events/move-calls';
import { writePlacement, type DialableRow, type PlacementAnswer } from './placement.store';

export interface PlaceDeps extends CallEndDeps, ReserveDeps {
  /** Connections on which nothing else is asked: no report of a node and no sweep keeps a call waiting. */
  callPool: Pool;
  quotas: Pick<Quotas, 'defaults' | 'refuse'>;
}

export type Placed =
  | { done: 'placed'; attempt: AttemptRow }
  | { done: 'no_node' }
  /** Its domain has as many ringing calls as it may. */
  | { done: 'at_limit' }
  /** Somebody else has placed or ended it. */
  | { done: 'taken' }
  /** Somebody wants it to end. */
  | { done: 'unwanted' }
  | { done: 'over_quota'; refusal: Refusal };

/**
 * Chooses a node and writes down the choice, its reasons, the node and the leg's id, in the statement that looks once
 * more whether the node serves and the domain may have one more. The claim of what is not written is given back; of what
 * was written all the same, since an answer was lost, the sweep makes it again.
 */
export async function placeCall(deps: PlaceDeps, call: DialableRow): Promise<Placed> {
  const refusal = findFullUnits(deps, call);
  if (refusal) return waitForQuota(deps, call, refusal);
  const search = (excludedNodeIds: readonly string[]): Promise<Reserved<Placed>> => {
    const request: ReserveRequest = {
      ...{ callId: call.id, units: Number(call.units), registeredNodeIds: call.phones_at },
      ...{ excludedNodeIds, needs: ['calls'] },
    };
    return reserveWith(deps, request, (node, choice) => write(deps, call, node, choice));
  };
  let found = await search(call.tried);
  // A node that refused before is better than none, once it serves again.
  if (!found.value && call.tried.length > 0) found = await search([]);
  if (found.value?.done === 'over_quota') return waitForQuota(deps, call, found.value.refusal);
  if (found.value) return found.value;
  const { policy, considered } = found.choice;
  const of = { call_id: call.id, attempt: call.attempts + 1, decided_at: storeClock.now() };
  await savePlacement(deps.db, { ...of, node_id: null, node_name: null, policy, considered });
  return { done: 'no_node' };
}

async function write(deps: PlaceDeps, call: DialableRow, node: NodeView, choice: Choice): Promise<LastLook<Placed>> {
  const at = storeClock.now();
  const number = call.attempts + 1;
  const legId = createId();
  const { ringingCalls, units } = deps.quotas.defaults;
  const desired = {
    ...{ callId: call.id, nodeId: node.id, legId, attempt: number, at, modules: FEATURES.calls.modules },
    ...{ limits: { ringingCalls, units }, policy: choice.policy, considered: choice.considered },
  };
  const draft = draftCallEvent('call.placing', { ...call, node_id: node.id }, { node: node.name, attempt: number });
  const answer = await deps.log.write<PlacementAnswer>(() => writePlacement(deps.callPool, desired, draft));
  switch (answer.outcome) {
    case 'placed':
      return {
        is: 'kept',
        value: {
          done: 'placed',
          attempt: {
            ...{ call_id: call.id, number, leg_id: legId, first_leg_id: null, placed_at: at, rang_at: null },
            ...{ node_id: node.id, node_name: node.name, node_core_uuid: answer.coreUuid },
            ...{ ended_at: null, result: null, hangup_cause: null },
          },
        },
      };
    case 'taken':
      // A claim is the call's, whoever made it.
      return { is: answer.onNode === node.id ? 'kept' : 'given up', value: { done: 'taken' } };
    case 'unwanted':
      return { is: 'given up', value: { done: 'unwanted' } };
    case 'ringing_full':
      return { is: 'given up', value: { done: 'at_limit' } };
    case 'units_full': {
      const { limit, used } = answer;
      return { is: 'given up', value: { done: 'over_quota', refusal: { quota: 'units', limit, used } } };
    }
    default:
      return { is: 'rejected', why: answer.outcome };
  }
}

/** A look beforehand, to spare a claim that would be given back; only the statement decides. */
function findFullUnits({ quotas }: PlaceDeps, call: DialableRow): Refusal | undefined {
  const limit = Number(call.most_units ?? quotas.defaults.units);
  const used = Number(call.held_units);
  return used + Number(call.units) > limit ? { quota: 'units', limit, used } : undefined;
}

/**
 * A call whose domain has as much claimed as it may waits in the queue like one without a node: it is tried again when a
 * claim is given back. It counts as refused when it may wait no longer.
 */
function waitForQuota(deps: Pick<PlaceDeps, 'quotas'>, call: DialableRow, refusal: Refusal): Placed {
  if (storeClock.nowMs() > call.place_before.getTime()) deps.quotas.refuse(call.domain_id, refusal);
  return { done: 'no_node' };
}
