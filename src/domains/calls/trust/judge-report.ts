/** Says whether a node may speak of a leg, by the rows of its call: it has the leg, or was given a part of the call by us. */
import type { RefusedReport } from '../../../infra/metrics';
import type { CallRow, LegRow } from '../calls.store';
import type { FactNode } from '../events/call-facts';
import type { Reduction } from '../events/reduction';

/** A user rings at ten phones at most, an attempt is made three times, and each may cross the pool: twice that. */
const MOST_LEGS = 128;

/** Whether the node places the call, has placed it before, or has a leg of it. */
export const hasPartIn = (r: Pick<Reduction, 'draft'>, nodeId: string, call: CallRow): boolean =>
  call.node_id === nodeId ||
  r.draft.legsOf(call.id).some((leg) => leg.node_id === nodeId) ||
  r.draft.attemptsOf(call.id).some((attempt) => attempt.node_id === nodeId);

/** Of a leg that we know only its node speaks. @returns undefined where the node may, or as what its report is refused */
export const judgeKnownLeg = (nodeId: string, leg: Pick<LegRow, 'node_id'>): RefusedReport | undefined =>
  leg.node_id === nodeId ? undefined : 'leg';

/**
 * A new one is believed of the node that places the call, of one that placed it before, and of one that has a leg of it
 * already: the first leg at a further node is written down when we answer that node's question (handover.ts), since a token
 * of ours came with it.
 * @param leg.attemptNodeId where it carries an attempt: the node that was told to make it
 * @param leg.legCount legs of its call
 * @param leg.isIts the node has a part in the call, or we handed it over to it
 * @returns undefined where the node may, or as what its report is refused
 */
export function judgeNewLeg(
  nodeId: string,
  leg: { attemptNodeId: string | null | undefined; legCount: number; isIts: boolean },
): RefusedReport | undefined {
  if (leg.attemptNodeId !== undefined) return leg.attemptNodeId === nodeId ? undefined : 'leg';
  return leg.legCount < MOST_LEGS && leg.isIts ? undefined : 'new_leg';
}

/** The same by the rows that are at hand. */
export function refuseLeg(
  r: Pick<Reduction, 'draft' | 'context'>,
  node: Pick<FactNode, 'id'>,
  call: CallRow,
  legId: string,
): RefusedReport | undefined {
  const known = r.draft.leg(legId);
  if (known) return judgeKnownLeg(node.id, known);
  return judgeNewLeg(node.id, {
    attemptNodeId: r.draft.attemptsOf(call.id).find((a) => a.leg_id === legId || a.first_leg_id === legId)?.node_id,
    legCount: r.draft.legsOf(call.id).length,
    isIts: hasPartIn(r, node.id, call) || r.context.handedOver.has(`${call.id} ${node.id}`),
  });
}
