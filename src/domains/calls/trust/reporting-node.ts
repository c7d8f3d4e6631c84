/** Says whether a node may speak of a leg: it has the leg, or was given a part of the call by us. */
import type { Queryable } from '../../../infra/stores/db';
import type { RefusedReport } from '../../../infra/metrics';
import type { LegRow } from '../calls.store';
import type { Handovers } from './handovers';
import { MOST_LEGS } from './judge-report';
import { readBusiness } from './reporting-node.store';

export interface ReportedLeg {
  legId: string;
  callId: string;
  /** Its row, where it has one. */
  known: Pick<LegRow, 'node_id'> | undefined;
}

/**
 * Of a leg that we know only its node speaks. A new one is believed of the node that places the call, of one that placed it
 * before, and of one that has a leg of it already: the first leg at a further node is written down when we answer that
 * node's question (handover.ts), since a token of ours came with it.
 * @returns undefined where the node may, or as what its report is refused
 */
export async function refuseLegReport(
  deps: { db: Queryable; handovers?: Pick<Handovers, 'wasMade'> },
  node: { id: string },
  leg: ReportedLeg,
): Promise<RefusedReport | undefined> {
  if (leg.known) return leg.known.node_id === node.id ? undefined : 'leg';
  const business = await readBusiness(deps.db, { nodeId: node.id, callId: leg.callId, legId: leg.legId });
  if (!business) return undefined; // no such call: nothing is changed by it
  if (business.attemptNodeId !== undefined) return business.attemptNodeId === node.id ? undefined : 'leg';
  if (business.legCount >= MOST_LEGS) return 'new_leg';
  return business.isIts || (await deps.handovers?.wasMade(leg.callId, node.id)) ? undefined : 'new_leg';
}
