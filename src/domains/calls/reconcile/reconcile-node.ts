/** Brings calls and nodes together again: after a reconnect, after a node's death, and by a sweep now and then. */
import {
  parseChannels,
  showChannels,
  type ChannelPhase,
  type ChannelRow,
  type NodeConnection,
} from '../../../freeswitch/esl';
import type { Queryable } from '../../../infra/stores/db';
import { isId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import { CLAIM_TTL_MS } from '../../nodes/capacity/claims';
import type { NodeRow } from '../../nodes/nodes.store';
import { bridgesOf, isEnding, settleUnaccounted } from '../adoption/unaccounted';
import { findCall, listEndedLegs, listLiveLegsOfNode, listOpenAttemptsOfNode, type LegRow } from '../calls.store';
import { listNews, phaseOf } from './differences';
import { moveCalls } from '../events/move-calls';
import { carryWidowed } from '../joining/widowed';
import type { CallEndDeps } from '../events/move-calls';
import type { NodeLook, ReconcileDeps } from './node-look';

/** A leg placed this shortly ago may not have reached the node: its job asks by itself. */
const YOUNG_MS = 5000;
/** Calls of a node that died, in one transaction. */
const SETTLED_AT_ONCE = 200;
/** A node nobody can ask may come back with its calls; after this they are given up. */
export const SILENCE_LIMIT_MS = 30_000;

const isOurs = (channel: ChannelRow): channel is ChannelRow & { callId: string } => isId(channel.callId ?? '');

/** Channels without a call are rare, and each has to be asked whose it is: in every so many looks while events flow. */
const NAMELESS_EVERY = 4;

/**
 * Compares the node's channels with the legs that should be there, and settles what differs on either side. Rows follow
 * what is talked: nobody who talks is hung up here (adoption/verdict.ts).
 * @param suspects where a node is looked at while its events flow: the end of a leg may be told behind the list, so only
 *   a leg that the look before has missed as well is settled. Those missed now are left in it.
 * @returns how many channels the node listed
 */
export async function reconcileChannels(
  deps: ReconcileDeps,
  node: NodeRow,
  connection: NodeConnection,
  now: Date,
  suspects?: Suspects,
): Promise<number> {
  const reply = await connection.api(showChannels(), { timeoutMs: deps.commandTimeoutMs });
  if (!reply.ok) return 0;
  const channels = new Map(parseChannels(reply.text, connection.readTime).map((row) => [row.legId, row]));
  // A record that could not be delivered tells how a leg ended, where it is missing now.
  await deps.leftRecords?.take(node, connection, suspects === undefined);
  const legs = await listLiveLegsOfNode(deps.db, node.id);
  const missing = legs.filter((leg) => !channels.has(leg.id));
  await settleMissingLegs(
    deps,
    missing.filter((leg) => !suspects || suspects.legs.has(leg.id)),
    now,
  );
  suspects?.legs.clear();
  for (const leg of missing) suspects?.legs.add(leg.id);
  const memory = deps.memories.of(node.id);
  memory.keep(new Set(channels.keys()));
  const bridges = bridgesOf(connection, deps.commandTimeoutMs);
  const check: NodeLook = { node, connection, channels, bridges, memory, now };
  const ours = [...channels.values()].filter(isOurs);
  const news = (await listNews(deps.db, ours, legs)).filter((channel) => !isEnding(channel));
  const isNamelessTurn = !suspects || suspects.looks++ % NAMELESS_EVERY === 0;
  if (isNamelessTurn) news.push(...(await listNameless(deps.db, [...channels.values()], legs, now, !suspects)));
  // The legs that made the others first: the call is adopted by them.
  news.sort((a, b) => a.createdAtMs - b.createdAtMs);
  for (const channel of news) await settleChannel(deps, check, channel);
  await carryWidowed(deps, check, legs);
  return channels.size;
}

/** What looks at one node while its events flow leave for the next. */
export interface Suspects {
  legs: Set<string>;
  looks: number;
}

/** Younger ones may not have asked for their plan yet, and their end may still be on its way to us. */
const NAMELESS_YOUNG_MS = 10_000;

/**
 * FreeSWITCH lists a channel's account only after it has run a plan: one that rings, or was made by a bridge, has none
 * there. So each that our rows don't know either is asked itself whose it is.
 */
async function listNameless(
  db: Queryable,
  channels: readonly ChannelRow[],
  live: readonly LegRow[],
  now: Date,
  isFirst: boolean,
): Promise<ChannelRow[]> {
  const alive = new Set(live.map((leg) => leg.id));
  const unnamed = channels.filter(
    (c) =>
      isId(c.legId) &&
      !isOurs(c) &&
      !alive.has(c.legId) &&
      !isEnding(c) &&
      // After a time in which nothing was heard of the node, a stranger who came in then must not stay.
      (now.getTime() - c.createdAtMs >= NAMELESS_YOUNG_MS || (isFirst && c.direction === 'inbound')),
  );
  if (unnamed.length === 0) return [];
  const known = await listEndedLegs(
    db,
    unnamed.map((c) => c.legId),
  );
  const justEnded = new Set(
    known.filter((leg) => now.getTime() - (leg.ended_at?.getTime() ?? 0) < NAMELESS_YOUNG_MS).map((leg) => leg.id),
  );
  return unnamed.filter((c) => !justEnded.has(c.legId));
}

/** They ended unseen. Their records, where they came, have said how; else their calls are lost with what is known. */
async function settleMissingLegs(deps: ReconcileDeps, legs: readonly LegRow[], now: Date): Promise<void> {
  const old = legs.filter((leg) => now.getTime() - leg.created_at.getTime() >= YOUNG_MS);
  const facts = old.map((leg) => ({ kind: 'leg_missing' as const, callId: leg.call_id, legId: leg.id, at: now }));
  const settled = (await moveCalls(deps, facts)).filter(Boolean).length;
  if (settled > 0) deps.countOrphan?.('row', settled);
}

/** A channel of a living call is taken in, as if its events had been seen; of any other it is decided what becomes of it. */
async function settleChannel(deps: ReconcileDeps, check: NodeLook, channel: ChannelRow): Promise<void> {
  const { node, now } = check;
  let callId = channel.callId;
  const call = callId ? await findCall(deps.db, callId) : undefined;
  if (!call || call.state === 'ended') {
    const settled = await settleUnaccounted(deps, check, channel);
    if (settled.done !== 'take in') return;
    callId = settled.callId;
  }
  const base = {
    type: 'channel' as const,
    legId: channel.legId,
    callId,
    direction: channel.direction,
    channelName: channel.channelName,
    callerName: channel.callerName,
    callerNumber: channel.callerNumber,
    destination: channel.destination,
    createdAtMs: channel.createdAtMs,
    atMs: now.getTime(),
  };
  const told = phaseOf(channel);
  const phases: ChannelPhase[] = ['created', ...(told ? [told] : [])];
  if (channel.callState === 'HELD') phases.push('held');
  await moveCalls(
    deps,
    phases.map((phase) => ({ kind: 'channel', node, event: { ...base, phase } })),
  );
}

/**
 * Settles the calls of a node that is down. Where its process is gone for sure they end now (or ring elsewhere);
 * where it only can't be asked they wait for SILENCE_LIMIT_MS: a cut cable must not end calls that go on behind it.
 * @param livingCore the core UUID it runs under by now: calls that were placed on that one already go on
 */
export async function settleCallsOfNode(
  deps: CallEndDeps,
  nodeId: string,
  cause: string,
  livingCore?: string,
): Promise<void> {
  const at = storeClock.now();
  const open = await listOpenAttemptsOfNode(deps.db, nodeId);
  const lost = open.filter((a) => livingCore === undefined || a.node_core_uuid !== livingCore);
  for (let from = 0; from < lost.length; from += SETTLED_AT_ONCE) {
    const facts = lost.slice(from, from + SETTLED_AT_ONCE).map((attempt) => ({
      ...{ kind: 'attempt_over' as const, callId: attempt.call_id, legId: attempt.leg_id },
      ...{ cause, at },
    }));
    await moveCalls(deps, facts);
  }
}

/** How often claims must be made longer to outlive their time to live. */
export const SWEEP_INTERVAL_MS = Math.min(2000, CLAIM_TTL_MS / 4);
