/** Looks at channels of a node that no living call explains, and does what is decided of each (verdict.ts). */
import {
  dumpChannel,
  parseBridges,
  parseChannelDump,
  showBridges,
  type ChannelDump,
  type ChannelRow,
  type NodeConnection,
} from '../../../freeswitch/esl';
import { PROOF_VARIABLE } from '../../../freeswitch/xml';
import { isId, isUnwritten, showLegId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import { POOL_STREAM } from '../../events/events.store';
import type { NodeRow } from '../../nodes/nodes.store';
import { findCall, findLeg, type CallRow, type LegRow } from '../calls.store';
import { hangupFound, type NodeLook, type ReconcileDeps } from '../reconcile/node-look';
import { endUnadmitted, isUnadmitted } from '../reconcile/unadmitted-channels';
import { adoptFound, reviveFound } from './adopt';
import { readProof, type CallProof } from './proof';
import { judgeUnaccounted, type Unaccounted } from './verdict';
import { CONTEXTS } from '../../../freeswitch/contexts';

/** Who is in a room hears the others there; whether there are any is the room's affair (rooms/sessions/reconcile-node.ts). */
const IN_ROOM = 'conference';

/** @param timeoutMs of one question */
export function bridgesOf(connection: NodeConnection, timeoutMs: number): NodeLook['bridges'] {
  let asked: Promise<ReadonlyMap<string, string>> | undefined;
  const ask = async (): Promise<ReadonlyMap<string, string>> => {
    const reply = await connection.api(showBridges(), { timeoutMs });
    return reply.ok ? parseBridges(reply.text) : new Map<string, string>();
  };
  return () => (asked ??= ask());
}

/** A channel that ends stays in the list until its record was sent. */
export const isEnding = (channel: Pick<ChannelRow, 'state' | 'callState'>): boolean =>
  channel.callState === 'HANGUP' || ['CS_HANGUP', 'CS_REPORTING', 'CS_DESTROY'].includes(channel.state);

interface Known {
  callId: string | undefined;
  call: CallRow | undefined;
  leg: LegRow | undefined;
  proof: CallProof | undefined;
}

/** Its row says whose it is, else what it was given by us. What a node makes up is not believed without either. */
async function identify(deps: ReconcileDeps, node: NodeRow, dump: ChannelDump): Promise<Known> {
  const leg = await findLeg(deps.db, dump.legId);
  const named = dump.callId !== undefined && isId(dump.callId) ? dump.callId : undefined;
  const callId = leg?.node_id === node.id ? leg.call_id : named;
  const call = callId === undefined ? undefined : await findCall(deps.db, callId);
  const shown = dump.variables?.[PROOF_VARIABLE];
  const read = shown && deps.secretKey ? readProof(deps.secretKey, node.name, shown, storeClock.nowMs()) : undefined;
  return { callId, call, leg, proof: read?.callId === callId ? read : undefined };
}

function stateOf({ callId, call }: Known): Unaccounted['call'] {
  if (callId === undefined) return 'none';
  if (!call) return isUnwritten(callId) ? 'unwritten' : 'unknown';
  if (call.hangup_requested_at) return 'asked';
  return call.state === 'ended' ? 'over' : 'live';
}

/** @returns what was done with it; `take in` is left to who asked */
export async function settleUnaccounted(
  deps: ReconcileDeps,
  check: NodeLook,
  channel: ChannelRow,
): Promise<{ done: 'left' | 'ended' | 'adopted' } | { done: 'take in'; callId: string }> {
  const { node, connection, memory, now } = check;
  if (isEnding(channel)) return { done: 'left' };
  const reply = await connection.api(dumpChannel(channel.legId), { timeoutMs: deps.commandTimeoutMs });
  const dump = parseChannelDump(reply.text, connection.readTime);
  if (!dump) return { done: 'left' }; // it has ended meanwhile
  const known = await identify(deps, node, dump);
  const partner = (await check.bridges()).get(channel.legId);
  const isOwn = known.leg?.node_id === node.id && known.leg.call_id === known.callId;
  const isProven = known.call ? isOwn || known.proof !== undefined : known.proof !== undefined;
  const talks = partner !== undefined || channel.application === IN_ROOM || (isProven && isTalkingAlone(channel));
  const verdict = judgeUnaccounted({
    isEnding: false,
    isUnadmitted: dump.isAnswered && isUnadmitted(dump),
    talks,
    aloneMs: memory.sawAlone(channel.legId, !talks, now.getTime()),
    call: stateOf(known),
    isProven,
    isInOurContext: CONTEXTS.includes(channel.context),
  });
  switch (verdict.do) {
    case 'take in':
      return { done: 'take in', callId: known.callId! };
    case 'adopt': {
      const found = { node, channel: dump, livingLegIds: [...check.channels.keys()], now };
      const isAdopted = known.call
        ? await reviveFound(deps, known.call.id, found)
        : await adoptFound(deps, known.proof!, found, talks);
      if (isAdopted) return { done: 'adopted' };
      if (talks) await tell(deps, check, channel, known);
      return { done: 'left' };
    }
    case 'tell':
      await tell(deps, check, channel, known);
      return { done: 'left' };
    case 'end':
      if (verdict.why === 'unadmitted') await endUnadmitted(deps, node, dump);
      else await end(deps, check, channel, verdict.why);
      return { done: 'ended' };
    case 'leave':
      deps.logger.debug({ node: node.name, leg: channel.legId }, 'a channel without a call is left for now');
      return { done: 'left' };
  }
}

/** The echo needs no second channel: who hears it would be cut off like anybody who talks. */
const isTalkingAlone = (channel: ChannelRow): boolean => channel.application === 'echo';

async function end(deps: ReconcileDeps, check: NodeLook, channel: ChannelRow, why: string): Promise<void> {
  const { node } = check;
  // Whoever asked for its end has told the node already: it is only slow.
  const level = why === 'asked' ? 'debug' : 'warn';
  deps.logger[level](
    { node: node.name, leg: channel.legId, context: channel.context, why },
    'ends a channel without a call',
  );
  if (why !== 'asked') deps.countOrphan?.('channel');
  await hangupFound(deps, check, channel.legId);
}

/** People talk there, so they go on; that it happens at all is told and counted, once for each channel. */
async function tell(deps: ReconcileDeps, check: NodeLook, channel: ChannelRow, known: Known): Promise<void> {
  const { node, memory } = check;
  if (!memory.tellOnce(channel.legId)) return;
  deps.countOrphan?.('unexplained');
  deps.logger.warn(
    { node: node.name, leg: channel.legId, callId: known.callId, context: channel.context },
    'people talk at a node, and nobody knows whose call it is: they are left alone',
  );
  const data = { node: node.name, leg: showLegId(channel.legId), context: channel.context };
  await deps.log.record((_trx, emit) => {
    emit({ stream: POOL_STREAM, type: 'channel.unexplained', nodeId: node.id, data });
    return Promise.resolve();
  });
}
