/** Knows which leg carries an attempt: all phones of the caller ring, and whichever answers first goes on. */
import type { Queryable } from '../../../infra/stores/db';
import { hangUpMatching, killChannel } from '../../../freeswitch/esl';
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
  const reply = await links.api(nodeId, killChannel(attempt.leg_id, cause));
  await links.api(nodeId, hangUpMatching(ATTEMPT_VARIABLE, markOf(attempt), cause));
  return reply.ok;
}

/** Ends a call that is answered, whoever is still in it: the one who carried it may have left the others to each other. */
export async function hangUpTalk(
  deps: { db: Queryable; links: Pick<NodeConnections, 'api'> },
  attempt: AttemptRow,
  cause: string,
): Promise<void> {
  const carrying = attempt.node_id
    ? await deps.links.api(attempt.node_id, killChannel(attempt.leg_id, cause))
    : undefined;
  if (carrying?.ok) return; // the plan of each leg ends it with the other
  for (const leg of await listLegs(deps.db, [attempt.call_id])) {
    if (leg.state === 'ended' || !leg.node_id || leg.id === attempt.leg_id) continue;
    await deps.links.api(leg.node_id, killChannel(leg.id, cause));
  }
}
