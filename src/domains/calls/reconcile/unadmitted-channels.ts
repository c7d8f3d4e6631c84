/** Ends a channel that was answered and that no dialplan answer of ours let in, at once, and says who opened it. */
import { hangupLegs, type ChannelEvent } from '../../../freeswitch/esl';
import { CANARY_VARIABLE } from '../../../freeswitch/xml';
import { POOL_STREAM } from '../../events/events.store';
import type { NodeRow } from '../../nodes/nodes.store';
import type { CallEndDeps } from '../events/move-calls';

/** The profiles by which somebody else than Switchyard opens a channel. */
const DOORS: readonly string[] = ['internal', 'internode'];

/**
 * Every plan of ours names its call before it answers. So an inbound channel that is answered and names none skipped
 * the dialplan: it is ended by its guard (xml/directory.ts) where the directory let it in, and by us where not.
 */
export function isUnadmitted(event: ChannelEvent): boolean {
  return (
    (event.phase === 'answered' || event.phase === 'bridged') &&
    event.direction === 'inbound' &&
    DOORS.includes(event.profile ?? '') &&
    event.callId === undefined &&
    event.variables?.[CANARY_VARIABLE] === undefined
  );
}

/** @returns whether the channel was one, and is told to end */
export async function endUnadmitted(
  deps: Pick<CallEndDeps, 'log' | 'logger' | 'links' | 'countOrphan'>,
  node: NodeRow,
  event: ChannelEvent,
): Promise<boolean> {
  if (!isUnadmitted(event)) return false;
  const { sip_auth_username: username, sip_auth_realm: domain, sip_network_ip: networkIp } = event.variables ?? {};
  const who = { username: username ?? null, domain: domain ?? null, networkIp: networkIp ?? null };
  deps.logger.warn({ node: node.name, leg: event.legId, ...who }, 'ends a channel that no plan let in');
  deps.countOrphan?.('unadmitted');
  // The guard may have been faster: then there is no such channel any more.
  await hangupLegs(deps, [{ nodeId: node.id, legId: event.legId }], 'CALL_REJECTED').catch((error: unknown) => {
    deps.logger.warn(
      { err: error, node: node.name, leg: event.legId },
      'it could not be told to end; the sweep ends it',
    );
  });
  await deps.log.record((_trx, emit) => {
    emit({ stream: POOL_STREAM, type: 'channel.unadmitted', nodeId: node.id, data: { node: node.name, ...who } });
    return Promise.resolve();
  });
  return true;
}
