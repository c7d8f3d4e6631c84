/** Finds channels of ours that carry no call in the node's list, and settles those that no living call knows. */
import {
  killChannel,
  parseChannels,
  readVariable,
  showChannels,
  type ChannelRow,
  type NodeConnection,
} from '../../freeswitch/esl';
import { isId, isUnwritten } from '../../infra/ids';
import { CANARY_CONTEXT } from '../../freeswitch/xml';
import type { NodeRow } from '../nodes/nodes.store';
import { CALLS_CONTEXT } from './dialing/dial-command';
import { findCall, type LegRow } from './calls.store';
import { takeChannelEvent } from './progress';
import type { ReconcileDeps } from './reconcile';

/** Younger ones may not have asked for their plan yet, and their end may still be on its way to us. */
const YOUNG_MS = 10_000;
/** A channel in a context of ours that has no call after so long never got a plan, or lost who made it. */
const PLANLESS_MS = 120_000;
/** Contexts in which every channel belongs to a call, or to a canary, which takes seconds. */
const OURS: readonly string[] = [CALLS_CONTEXT, CANARY_CONTEXT, 'rooms', 'users', 'internode'];

/**
 * FreeSWITCH lists a channel's account only after it has run a plan: one that rings, or was made by a bridge, has none
 * there. So each that our rows don't know either is asked itself whose it is. What an operator dials by hand is left alone.
 * @returns how many were ended
 */
export async function endStrays(
  deps: ReconcileDeps,
  node: NodeRow,
  connection: NodeConnection,
  now: Date,
): Promise<number> {
  const reply = await connection.api(showChannels(), { timeoutMs: deps.commandTimeoutMs });
  if (!reply.ok) return 0;
  const ageOf = (channel: ChannelRow): number => now.getTime() - channel.createdAtMs;
  const unnamed = parseChannels(reply.text).filter(
    (c) => isId(c.legId) && !isId(c.callId ?? '') && ageOf(c) >= YOUNG_MS,
  );
  if (unnamed.length === 0) return 0;
  const ids = unnamed.map((c) => c.legId);
  const known = (await deps.db('legs').whereIn('id', ids).select('id', 'state', 'ended_at')) as LegRow[];
  const legs = new Map(known.map((leg) => [leg.id, leg]));
  let ended = 0;
  for (const channel of unnamed) {
    const leg = legs.get(channel.legId);
    if (leg && (leg.state !== 'ended' || now.getTime() - (leg.ended_at?.getTime() ?? 0) < YOUNG_MS)) continue;
    const verdict = leg ? 'end' : await judge(deps, node, connection, channel, now);
    if (verdict !== 'end') continue;
    ended += 1;
    deps.logger.warn({ node: node.name, leg: channel.legId, context: channel.context }, 'ends a channel nobody knows');
    await connection.api(killChannel(channel.legId, 'NORMAL_CLEARING'), { timeoutMs: deps.commandTimeoutMs });
  }
  if (ended > 0) deps.countOrphan?.('channel', ended);
  return ended;
}

/** One that a living call lost sight of is taken in; one of a call that is over is ended. */
async function judge(
  deps: ReconcileDeps,
  node: NodeRow,
  connection: NodeConnection,
  channel: ChannelRow,
  now: Date,
): Promise<'end' | 'leave'> {
  const ask = readVariable(channel.legId, 'switchyard_call_id');
  const { text } = await connection.api(ask, { timeoutMs: deps.commandTimeoutMs });
  if (text.startsWith('-ERR')) return 'leave'; // it has ended meanwhile
  const callId = text.trim();
  if (!isId(callId)) {
    return OURS.includes(channel.context) && now.getTime() - channel.createdAtMs >= PLANLESS_MS ? 'end' : 'leave';
  }
  const call = await findCall(deps.db, callId);
  if (!call) return isUnwritten(callId) ? 'leave' : 'end';
  if (call.state === 'ended') return 'end';
  await takeChannelEvent(deps, node, {
    type: 'channel',
    phase: 'created',
    legId: channel.legId,
    callId,
    direction: channel.direction,
    channelName: channel.channelName,
    callerName: channel.callerName,
    callerNumber: channel.callerNumber,
    destination: channel.destination,
    createdAtMs: channel.createdAtMs,
    atMs: now.getTime(),
  });
  return 'leave';
}
