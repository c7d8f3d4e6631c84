/** Brings a phone back into a room whose node died: the phone's own node still holds its call, and sends it there again. */
import { findNode } from '../../nodes/nodes.store';
import { canBeEntered } from '../../rooms/sessions/sessions';
import { sendIntoRoom } from '../../rooms/joining/tickets';
import { createCall, type CallDeps } from '../calls';
import { findCall, listLegs, type CallRow } from '../calls.store';

interface Awaited {
  id: string;
  room_id: string;
  call_id: string | null;
}

/**
 * A phone that came over another node hears silence now: nobody told that node that the room's is dead. Where its
 * channel went down with the node, whoever was called is called again; who dialled in dials again.
 * @param participant whose session has ended, and has a new one
 */
export async function rejoinRoom(deps: CallDeps, participant: Awaited): Promise<void> {
  const call = participant.call_id ? await findCall(deps.db, participant.call_id) : undefined;
  if (!call) return;
  if ((await sendIn(deps, call, participant)) || call.origin !== 'api') return;
  const { domain_id: domainId, domain_name: domain, from_address: from, to_address: to } = call;
  await createCall(deps, { domainId, domain, from, to, callerName: call.caller_name });
}

/**
 * Once more for a phone that could not be sent in when its room moved: the event that it had answered was still on its
 * way, or its node did not hear. Nobody is called again.
 */
export async function rejoinLate(deps: CallDeps, participant: Awaited): Promise<void> {
  const call = participant.call_id ? await findCall(deps.db, participant.call_id) : undefined;
  if (call && call.state !== 'ended') await sendIn(deps, call, participant);
}

/** @returns whether a node has sent the phone on its way */
async function sendIn(deps: CallDeps, call: CallRow, participant: Awaited): Promise<boolean> {
  // A call that the dead node itself had placed is lost, and its legs elsewhere are ended with it.
  const owner = call.node_id ? await findNode(deps.db, call.node_id) : undefined;
  for (const leg of canBeEntered(owner) ? await listLegs(deps.db, [call.id]) : []) {
    if (leg.role !== 'from' || leg.state !== 'answered' || !leg.node_id) continue;
    if (!canBeEntered(await findNode(deps.db, leg.node_id))) continue;
    const to = { participantId: participant.id, roomId: participant.room_id, legId: leg.id, nodeId: leg.node_id };
    const back = await sendIntoRoom(deps.db, to);
    const reply = await deps.links.api(leg.node_id, back).catch(() => undefined);
    if (reply?.ok) return true;
  }
  return false;
}
