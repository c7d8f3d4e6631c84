/** Says whether a node may speak of a leg: it has the leg, or was given a part of the call by us. */
import type { Queryable } from '../../../infra/stores/db';
import type { RefusedReport } from '../../../infra/metrics';
import type { LegRow } from '../calls.store';
import type { Handovers } from './handovers';
import { judgeKnownLeg, judgeNewLeg } from './judge-report';
import { readBusiness } from './reporting-node.store';

export interface ReportedLeg {
  legId: string;
  callId: string;
  /** Its row, where it has one. */
  known: Pick<LegRow, 'node_id'> | undefined;
}

/** Judges by the database, before there is a transaction. @returns undefined where the node may, or as what its report is refused */
export async function refuseLegReport(
  deps: { db: Queryable; handovers?: Pick<Handovers, 'wasMade'> },
  node: { id: string },
  leg: ReportedLeg,
): Promise<RefusedReport | undefined> {
  if (leg.known) return judgeKnownLeg(node.id, leg.known);
  const business = await readBusiness(deps.db, { nodeId: node.id, callId: leg.callId, legId: leg.legId });
  if (!business) return undefined; // no such call: nothing is changed by it
  const isIts = business.isIts || ((await deps.handovers?.wasMade(leg.callId, node.id)) ?? false);
  return judgeNewLeg(node.id, { ...business, isIts });
}
