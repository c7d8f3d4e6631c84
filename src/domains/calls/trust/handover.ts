/** A call crosses the pool: the token that brings it is bound to one channel, which is written down as the node's part of it. */
import { isUnreachable } from '../../../infra/stores/db';
import { isId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import type { DialplanRequest } from '../../../freeswitch/xml';
import type { NodeRow } from '../../nodes/nodes.store';
import { findLeg, insertLeg, lockCall } from '../calls.store';
import type { DialplanDeps } from '../dialplan/contacts';
import { draftCallEvent } from '../events/reduction';

/**
 * Takes the token of a call from another node for this channel alone; the node may ask again for it.
 * @returns false where another channel came with it
 */
export async function handleHandover(
  deps: DialplanDeps,
  node: NodeRow,
  request: DialplanRequest,
  claims: Record<string, string | number>,
): Promise<boolean> {
  const tokenId = String(claims.i ?? '');
  const holder = `${node.id} ${request.legId}`;
  const isFirst = tokenId !== '' && (await deps.bindToken(tokenId, holder, Number(claims.exp)));
  if (!isFirst || !isId(request.legId)) {
    deps.refuseReport?.(node, 'token', { leg: request.legId.slice(0, 64), callId: String(claims.c) });
    return false;
  }
  await noteLeg(deps, node, request.legId, String(claims.c));
  return true;
}

/** From here on the node may speak of the call. What can't be written now is remembered in Redis. */
async function noteLeg(deps: DialplanDeps, node: NodeRow, legId: string, callId: string): Promise<void> {
  try {
    if (await findLeg(deps.db, legId)) return;
    await deps.log.record(async (trx, emit) => {
      const call = await lockCall(trx, callId);
      if (!call || call.state === 'ended') return;
      const row = { id: legId, call_id: callId, node_id: node.id, role: 'transit' as const, address: call.to_address };
      if (!(await insertLeg(trx, { ...row, state: 'placing', created_at: storeClock.now() }))) return;
      emit(draftCallEvent('call.leg_created', call, { leg: legId, role: 'transit', node: node.name }));
    });
  } catch (error) {
    if (!isUnreachable(error)) throw error;
    await deps.handovers?.remember(callId, node.id);
    deps.logger.warn({ callId, node: node.name }, 'a call crosses the pool unwritten: the database is away');
  }
}
