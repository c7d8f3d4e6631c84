/** Brings calls and nodes together again: after a reconnect, after a node's death, and by a sweep now and then. */
import { killChannel, parseChannels, showChannels, type ChannelRow, type NodeConnection } from '../../freeswitch/esl';
import { isId, isUnwritten } from '../../infra/ids';
import { storeClock } from '../../infra/store-clock';
import { CLAIM_TTL_MS } from '../nodes/claims';
import type { NodeRow } from '../nodes/nodes.store';
import {
  findCall,
  findLastAttempt,
  listLiveLegsOfNode,
  listOpenAttemptsOfNode,
  updateLeg,
  type LegRow,
} from './calls.store';
import { isCarriedOn } from './carrier';
import { listNews, phaseOf } from './differences';
import { takeChannelEvent } from './progress';
import { settleAttempt, type SettleDeps } from './settle';

/** A leg placed this shortly ago may not have reached the node: its job asks by itself. */
const YOUNG_MS = 5000;
/** A node nobody can ask may come back with its calls; after this they are given up. */
export const SILENCE_LIMIT_MS = 30_000;

export interface ReconcileDeps extends SettleDeps {
  commandTimeoutMs: number;
}

const isOurs = (channel: ChannelRow): channel is ChannelRow & { callId: string } => isId(channel.callId ?? '');

/**
 * Compares the node's channels with the legs that should be there, and settles what differs on either side.
 * @param suspects where a node is looked at while its events flow: the end of a leg may be told behind the list, so only
 *   a leg that the look before has missed as well is settled. Those missed now are left in it.
 * @returns how many channels the node listed
 */
export async function compareChannels(
  deps: ReconcileDeps,
  node: NodeRow,
  connection: NodeConnection,
  now: Date,
  suspects?: Set<string>,
): Promise<number> {
  const reply = await connection.api(showChannels(), { timeoutMs: deps.commandTimeoutMs });
  if (!reply.ok) return 0;
  const channels = new Map(parseChannels(reply.text).map((row) => [row.legId, row]));
  const legs = await listLiveLegsOfNode(deps.db, node.id);
  const missing = legs.filter((leg) => !channels.has(leg.id));
  for (const leg of missing) if (!suspects || suspects.has(leg.id)) await settleMissingLeg(deps, leg, now);
  suspects?.clear();
  for (const leg of missing) suspects?.add(leg.id);
  const ours = [...channels.values()].filter(isOurs);
  for (const channel of await listNews(deps.db, ours, legs)) await settleChannel(deps, node, connection, channel, now);
  return channels.size;
}

/** The leg ended unseen. Its CDR, where it came, has said how; else the call is lost with what is known. */
async function settleMissingLeg(deps: ReconcileDeps, leg: LegRow, now: Date): Promise<void> {
  if (now.getTime() - leg.created_at.getTime() < YOUNG_MS) return;
  deps.countOrphan?.('row');
  const attempt = await findLastAttempt(deps.db, leg.call_id);
  const cause = 'NODE_UNKNOWN';
  if (attempt?.leg_id === leg.id && !attempt.ended_at && !(await isCarriedOn(deps.db, attempt, { cause }))) {
    await settleAttempt(deps, leg.id, leg.call_id, { cause, at: now });
  }
  await updateLeg(deps.db, leg.id, ['placing', 'ringing', 'answered'], {
    state: 'ended',
    ended_at: now,
    hangup_cause: cause,
  });
}

/** A channel of a call that is over is ended; one of a living call is taken in, as if its events had been seen. */
async function settleChannel(
  deps: ReconcileDeps,
  node: NodeRow,
  connection: NodeConnection,
  channel: ChannelRow,
  now: Date,
): Promise<void> {
  const call = await findCall(deps.db, channel.callId!);
  if (!call && isUnwritten(channel.callId!)) return; // it was let through while the database was away
  if (!call || call.state === 'ended') {
    deps.logger.warn({ node: node.name, leg: channel.legId, callId: channel.callId }, 'ends a channel without a call');
    // One that was told to end just now is no orphan, only slow.
    if (now.getTime() - (call?.ended_at?.getTime() ?? 0) >= YOUNG_MS) deps.countOrphan?.('channel');
    await connection.api(killChannel(channel.legId, 'NORMAL_CLEARING'), { timeoutMs: deps.commandTimeoutMs });
    return;
  }
  const base = {
    type: 'channel' as const,
    legId: channel.legId,
    callId: channel.callId,
    direction: channel.direction,
    channelName: channel.channelName,
    callerName: channel.callerName,
    callerNumber: channel.callerNumber,
    destination: channel.destination,
    createdAtMs: channel.createdAtMs,
    atMs: now.getTime(),
  };
  await takeChannelEvent(deps, node, { ...base, phase: 'created' });
  const phase = phaseOf(channel);
  if (phase) await takeChannelEvent(deps, node, { ...base, phase });
  if (channel.callState === 'HELD') await takeChannelEvent(deps, node, { ...base, phase: 'held' });
}

/**
 * Settles the calls of a node that is down. Where its process is gone for sure they end now (or ring elsewhere);
 * where it only can't be asked they wait for SILENCE_LIMIT_MS: a cut cable must not end calls that go on behind it.
 * @param livingCore the core UUID it runs under by now: calls that were placed on that one already go on
 */
export async function settleCallsOfNode(
  deps: ReconcileDeps,
  nodeId: string,
  cause: string,
  livingCore?: string,
): Promise<void> {
  for (const attempt of await listOpenAttemptsOfNode(deps.db, nodeId)) {
    if (livingCore !== undefined && attempt.node_core_uuid === livingCore) continue;
    await settleAttempt(deps, attempt.leg_id, attempt.call_id, { cause, at: storeClock.now() });
  }
}

/** How often claims must be made longer to outlive their time to live. */
export const SWEEP_INTERVAL_MS = Math.min(2000, CLAIM_TTL_MS / 4);
