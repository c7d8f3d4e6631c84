/** Compares what a node lists of phones with what is known of it, after every (re)connect. */
import { isUnreachable } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';
import {
  parseRegistrations,
  readUptime,
  showRegistrations,
  type NodeConnection,
  type RegistrationRow,
} from '../../freeswitch/esl';
import type { NodeRow } from '../nodes/nodes.store';
import {
  endRegistrations,
  forgetListed,
  isBelieved,
  saveRegistration,
  type FoundRegistration,
  type RegistrationDeps,
} from './registrations';
import { findRegistrationsOfNode, markUnproven } from './registrations.store';
import { judgeListed, type ListedPhone } from './restarted';
import { findStillThere } from './still-there';

/**
 * What the node lists is what is: the rest of its registrations ended unseen, new ones came unseen. But for those from
 * before it was started anew (restarted.ts).
 */
export async function compareRegistrations(
  deps: RegistrationDeps,
  node: NodeRow,
  connection: NodeConnection,
  timeoutMs: number,
): Promise<void> {
  const startedMs = await readStartedMs(connection, timeoutMs);
  const reply = await connection.api(showRegistrations(), { timeoutMs });
  const listed = reply.ok ? parseRegistrations(reply.text, connection.readDeadline) : [];
  const byCallId = new Map(listed.map((row) => [row.sipCallId, row]));
  const known = await findRegistrationsOfNode(deps.db, node.id);
  const missing = known.filter((row) => !byCallId.has(row.sip_call_id));
  // Asked before there is a transaction: a node takes its time.
  const there = await findStillThere(deps, node, missing, known);
  const ids = missing.filter((row) => !there.has(row.id)).map((row) => row.id);
  const judged = (as: ListedPhone) =>
    known.filter(
      (row) =>
        byCallId.has(row.sip_call_id) && judgeListed(row.transport, row.refreshed_at.getTime(), startedMs) === as,
    );
  const gone = judged('gone');
  const goneIds = gone.map((row) => row.id);
  const unprovenIds = judged('unproven').map((row) => row.id);
  if (ids.length + goneIds.length + unprovenIds.length > 0)
    await deps.log.record(async (trx, emit) => {
      if (ids.length > 0) await endRegistrations(trx, emit, node, ids, 'missed');
      if (goneIds.length > 0) await endRegistrations(trx, emit, node, goneIds, 'node_restarted');
      await markUnproven(trx, unprovenIds);
    });
  for (const row of gone) await forgetListed(deps, deps.db, node, byCallId.get(row.sip_call_id)!);
  const seen = new Set(known.map((row) => row.sip_call_id));
  for (const row of listed) if (!seen.has(row.sipCallId)) await takeListed(deps, node, row, startedMs);
}

/** When the node's process began, in our time. @returns 0 where it does not say: then all it lists is believed */
async function readStartedMs(connection: NodeConnection, timeoutMs: number): Promise<number> {
  const reply = await connection.api(readUptime(), { timeoutMs });
  const uptimeMs = reply.ok ? Number(reply.text.trim()) : NaN;
  return Number.isFinite(uptimeMs) && uptimeMs > 0 ? storeClock.nowMs() - uptimeMs : 0;
}

/** Each by itself: one that can't be kept must not keep a whole node out of the pool. */
async function takeListed(
  deps: RegistrationDeps,
  node: NodeRow,
  row: RegistrationRow,
  startedMs: number,
): Promise<void> {
  const nowMs = storeClock.nowMs();
  const found = fromListing(row, nowMs);
  try {
    const shownMs = await deps.shownLogins.shownAtMs(node.id, row.username, row.domain);
    const judged = judgeListed(row.transport, shownMs, startedMs);
    if (judged === 'gone') return forgetListed(deps, deps.db, node, row);
    if (!(await isBelieved(deps, node, found))) return;
    const isUnproven = judged === 'unproven';
    await deps.log.record((trx, emit) => saveRegistration(deps, trx, emit, node, found, nowMs, isUnproven));
  } catch (error) {
    if (isUnreachable(error)) throw error;
    deps.logger.error({ err: error, node: node.name }, 'a phone that a node lists can not be kept');
  }
}

function fromListing(row: RegistrationRow, nowMs: number): FoundRegistration {
  return {
    username: row.username,
    domain: row.domain,
    contact: row.contactUrl,
    sipCallId: row.sipCallId,
    expiresSeconds: Math.max(0, Math.round((row.expiresAtMs - nowMs) / 1000)),
    networkIp: row.networkIp,
    networkPort: row.networkPort,
    userAgent: '',
    profile: row.profile,
    transport: row.transport,
  };
}
