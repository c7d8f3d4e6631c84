/** Knows which leg carries an attempt: all phones of the caller ring, and whichever answers first goes on. */
import type { Queryable } from '../../../infra/stores/db';
import { hangUpMatching, hangupLegs } from '../../../freeswitch/esl';
import { ATTEMPT_VARIABLE } from '../../../freeswitch/xml';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import { listLegs, type AttemptRow } from '../calls.store';

/** What every leg of the attempt has in ATTEMPT_VARIABLE, whichever carries it by now. */
export const markOf = (attempt: Pick<AttemptRow, 'leg_id' | 'first_leg_id'>): string =>
  attempt.first_leg_id ?? attempt.leg_id;

/**
 * Ends all that rings for an attempt nobody has answered.
 * @returns whether the node had the leg that carries it; one that is not there yet is to be tried again
 */
export async function hangUpAttempt(
  links: Pick<NodeConnections, 'api'>,
  nodeId: string,
  attempt: Pick<AttemptRow, 'leg_id' | 'first_leg_id'>,
  cause: string,
): Promise<boolean> {
  const wasThere = await hangupLegs({ links }, [{ nodeId, legId: attempt.leg_id }], cause);
  await links.api(nodeId, hangUpMatching(ATTEMPT_VARIABLE, markOf(attempt), cause));
  return wasThere;
}

/** Ends a call that is answered, whoever is still in it: the one who carried it may have left the others to each other. */
export async function hangUpTalk(
  deps: { db: Queryable; links: Pick<NodeConnections, 'api'> },
  attempt: AttemptRow,
  cause: string,
): Promise<void> {
  const carrying = attempt.node_id ? [{ nodeId: attempt.node_id, legId: attempt.leg_id }] : [];
  // The plan of each leg ends it with the other.
  if (carrying.length > 0 && (await hangupLegs(deps, carrying, cause))) return;
  const others = (await listLegs(deps.db, [attempt.call_id])).flatMap((leg) =>
    leg.state === 'ended' || !leg.node_id || leg.id === attempt.leg_id ? [] : [{ nodeId: leg.node_id, legId: leg.id }],
  );
  await hangupLegs(deps, others, cause);
}
