/** Calls whose carrying leg is over while others of them are still there: who talks goes on in the call, who is left alone ends. */
import { ALONE_LIMIT_MS } from '../adoption/verdict';
import { isEnding } from '../adoption/unaccounted';
import type { LegRow } from '../calls.store';
import { moveCall } from '../events/move-calls';
import { hangupFound, type NodeLook, type ReconcileDeps } from '../reconcile/node-look';
import { listWidowed } from './joining.store';

/** @param legs living ones of the node */
export async function carryWidowed(deps: ReconcileDeps, check: NodeLook, legs: readonly LegRow[]): Promise<void> {
  for (const { callId, legId } of await listWidowed(deps.db, check.node.id)) {
    const left = legs.filter((leg) => leg.call_id === callId && leg.state === 'answered');
    if (left.length === 0) await moveCall(deps, { kind: 'talk_over', callId });
    for (const leg of left) if (await carryOn(deps, check, leg, legId)) break;
  }
}

/** @returns whether the call has somebody who carries it */
async function carryOn(deps: ReconcileDeps, check: NodeLook, leg: LegRow, fromLegId: string): Promise<boolean> {
  const { node, now, memory } = check;
  const channel = check.channels.get(leg.id);
  if (!channel || isEnding(channel)) return false; // its end is on its way to us
  const partner = (await check.bridges()).get(leg.id);
  const isBusy = partner !== undefined || channel.application === 'conference';
  const aloneMs = memory.sawAlone(leg.id, !isBusy, now.getTime());
  if (!isBusy) {
    if (aloneMs < ALONE_LIMIT_MS) return false;
    deps.logger.warn(
      { node: node.name, leg: leg.id, callId: leg.call_id },
      'ends a leg that was left alone in its call',
    );
    await hangupFound(deps, check, leg.id);
    return false;
  }
  const pair = partner === undefined ? undefined : { legId: leg.id, otherLegId: partner, atMs: now.getTime() };
  if (pair && (await moveCall(deps, { kind: 'bridged', node, ...pair }))) return true;
  const carried = { callId: leg.call_id, fromLegId, legId: leg.id };
  const isCarried = await moveCall(deps, { kind: 'carried_on', node, ...carried });
  if (isCarried) deps.countOrphan?.('adopted');
  return isCarried;
}
