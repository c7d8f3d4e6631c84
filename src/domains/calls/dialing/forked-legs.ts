/** Knows which leg carries an attempt: all phones of the caller ring, and whichever answers first goes on. */
import type { Db, Queryable } from '../../../infra/stores/db';
import { hangUpMatching, killChannel } from '../../../freeswitch/esl';
import { ATTEMPT_VARIABLE } from '../../../freeswitch/xml';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import { findRegistrationsOfUsers, findUserIds } from '../../registrations/registrations.store';
import { parseAddress } from '../address';
import { findCall, listLegs, type AttemptRow, type CallRow } from '../calls.store';

/** Two phones are picked up at once: originate keeps one, and ends the other with this (switch_ivr_originate.c). */
const LOSE_RACE = 'LOSE_RACE';

/** What every leg of the attempt has in ATTEMPT_VARIABLE, whichever carries it by now. */
export const markOf = (attempt: Pick<AttemptRow, 'leg_id' | 'first_leg_id'>): string =>
  attempt.first_leg_id ?? attempt.leg_id;

/** Whether another phone of the caller still rings, or has answered and is on its way to ask for its plan. */
export async function ringsElsewhere(db: Queryable, attempt: AttemptRow): Promise<boolean> {
  const others = db('legs').where({ call_id: attempt.call_id, node_id: attempt.node_id }).whereNot('state', 'ended');
  return (await others.whereNot('id', attempt.leg_id).whereIn('role', ['from', 'transit']).first('id')) !== undefined;
}

/**
 * Whether somebody else is still in the call at the node that carries it. Most often their end follows in milliseconds;
 * else they were bridged with somebody, and talk on.
 */
export async function hasOthersInTalk(db: Queryable, attempt: AttemptRow): Promise<boolean> {
  const others = db('legs').where({ call_id: attempt.call_id, node_id: attempt.node_id, state: 'answered' });
  return (await others.whereNot('id', attempt.leg_id).first('id')) !== undefined;
}

/**
 * Whether the attempt goes on although the leg it began with is over: while others of the call talk, whoever with; and a
 * phone that is busy, gone or late says nothing of the caller's other phones. What originate answers tells the end of
 * them all.
 */
export async function isCarriedOn(db: Db, attempt: AttemptRow, end: { cause: string }): Promise<boolean> {
  const leg = (await db('legs').where({ id: attempt.leg_id }).first('answered_at')) as
    { answered_at: Date | null } | undefined;
  if (leg?.answered_at && end.cause !== LOSE_RACE) return hasOthersInTalk(db, attempt);
  const call = await findCall(db, attempt.call_id);
  if (call?.origin !== 'api' || call.state === 'answered' || call.hangup_requested_at) return false;
  // A phone may say no before what is known of the next one's leg was written.
  return (await ringsElsewhere(db, attempt)) || (await hasSeveralPhones(db, call));
}

async function hasSeveralPhones(db: Db, call: CallRow): Promise<boolean> {
  const from = parseAddress(call.from_address);
  const user = from.kind === 'user' ? await findUserIds(db, from.username, call.domain_name) : undefined;
  return user !== undefined && (await findRegistrationsOfUsers(db, [user.id])).length > 1;
}

/** The leg that asks where to go is the one that has answered: it carries the attempt from here on. */
export async function carryOn(db: Db, call: CallRow, nodeId: string, legId: string): Promise<void> {
  if (call.origin !== 'api') return;
  await db('call_attempts')
    .where({ call_id: call.id, node_id: nodeId, first_leg_id: null })
    .whereNull('ended_at')
    .whereNot('leg_id', legId)
    .update({ leg_id: legId, first_leg_id: db.ref('leg_id') });
}

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
