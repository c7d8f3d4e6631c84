/**
 * A leg that is known asks for another number: something at its node has sent it there. It is the person of that leg who
 * dials, with their rights in their domain, whoever else is in the call and wherever the call was meant to lead.
 */
import { SwitchyardError } from '../../../../errors';
import { isId } from '../../../../infra/ids';
import { refusePlan, type DialplanRequest } from '../../../../freeswitch/xml';
import type { NodeRow } from '../../../nodes/nodes.store';
import { enterRoom } from '../../../rooms/joining/join.dialplan';
import { formatAddress, parseAddress } from '../../address';
import { findCall, findLegWithCall, type CallRow, type LegRow } from '../../calls.store';
import { callerOf, readTarget, shownCaller } from '../inbound-call';
import { connectTo, RING_SECONDS, type DialplanDeps } from '../contacts';
import { noteDialledOn } from './dialled-on';

/** The leg, where it is one of this node's that lives, in a call that nobody wants ended. */
export async function findKnownLeg(
  deps: DialplanDeps,
  node: NodeRow,
  legId: string,
): Promise<{ leg: LegRow; call: CallRow } | undefined> {
  const leg = isId(legId) ? await findLegWithCall(deps.db, legId) : undefined;
  if (leg?.node_id !== node.id || leg.state === 'ended') return undefined;
  const call = await findCall(deps.db, leg.call_id);
  return call && call.state !== 'ended' && !call.hangup_requested_at ? { leg, call } : undefined;
}

/** @throws unavailable where it can't be known who is meant */
export async function dialOn(
  deps: DialplanDeps,
  node: NodeRow,
  request: DialplanRequest,
  { leg, call }: { leg: LegRow; call: CallRow },
): Promise<string> {
  const plan = { context: request.context, callId: call.id };
  const person = leg.role === 'transit' ? undefined : parseAddress(leg.address);
  const user = person?.kind === 'user' ? await deps.directory.findUser(person.username, call.domain_name) : undefined;
  if (!user?.enabled) return refusePlan({ ...plan, sipStatus: 403, reason: 'This leg belongs to nobody who may dial' });
  const { address: to, room } = (await readTarget(deps, request.destination, user.domain)) ?? {};
  if (!to) return refusePlan({ ...plan, sipStatus: 484, reason: 'Not a number' });
  try {
    await deps.quotas.spend(call.domain_id, 'callsPerSecond');
  } catch (error) {
    if (!(error instanceof SwitchyardError) || error.code !== 'quota_exceeded') throw error;
    return refusePlan({ ...plan, sipStatus: 503, reason: 'The domain has used up a quota' });
  }
  await noteDialledOn(deps, leg, formatAddress(to));
  if (room) return enterRoom(deps.rooms, node, { request, room, who: callerOf(user), call: { callId: call.id } });
  return connectTo(deps, node, to, user.domain, {
    ...plan,
    ...shownCaller(user, request.isHidden),
    ringTimeoutSeconds: RING_SECONDS,
  });
}
