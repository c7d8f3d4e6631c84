/** Compares what a node lists of phones with what is known of it, after every (re)connect. */
import { storeClock } from '../../infra/store-clock';
import {
  parseRegistrations,
  readUptime,
  showRegistrations,
  type NodeConnection,
  type ListedRegistration,
} from '../../freeswitch/esl';
import type { NodeRow } from '../nodes/nodes.store';
import type { FoundRegistration, PhoneReport } from './events/reduce-phones';
import { forgetAtNodes, isBelieved, savePhoneReports } from './events/registration-events';
import { endRegistrations, type RegistrationDeps } from './registrations';
import { findRegistrationsOfNode, markUnproven } from './registrations.store';
import { judgeListed, type ListedPhone } from './restarted';
import { findStillThere } from './still-there';

/** Phones that are kept together. */
const AT_ONCE = 500;

/**
 * What the node lists is what is: the rest of its registrations ended unseen, new ones came unseen. But for those from
 * before it was started again (restarted.ts).
 */
export async function reconcileRegistrations(
  registrations: RegistrationDeps,
  node: NodeRow,
  connection: NodeConnection,
  timeoutMs: number,
): Promise<void> {
  const deps = flushOver(registrations, node, connection, timeoutMs);
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
  const asListed = (row: ListedRegistration) => ({ ...row, node_id: node.id, sip_call_id: row.sipCallId });
  const seen = new Set(known.map((row) => row.sip_call_id));
  const unseen = await judgeUnseen(
    deps,
    node,
    listed.filter((row) => !seen.has(row.sipCallId)),
    startedMs,
  );
  const forgotten = [...gone.map((row) => byCallId.get(row.sip_call_id)!), ...unseen.gone];
  await forgetAtNodes(deps, deps.db, forgotten.map(asListed));
  for (let at = 0; at < unseen.found.length; at += AT_ONCE)
    await savePhoneReports(deps, unseen.found.slice(at, at + AT_ONCE));
}

/** What this node has to forget goes over the connection it is read by: the replica's own may come up a moment later. */
function flushOver(
  deps: RegistrationDeps,
  node: NodeRow,
  connection: NodeConnection,
  timeoutMs: number,
): RegistrationDeps {
  return {
    ...deps,
    flush(nodeId, command) {
      if (nodeId !== node.id) return deps.flush(nodeId, command);
      connection
        .api(command, { timeoutMs })
        .catch((error: unknown) => deps.logger.debug({ err: error, nodeId }, 'a phone is let go later'));
    },
  };
}

/** When the node's process began, in our time. @returns 0 where it does not say: then all it lists is believed */
async function readStartedMs(connection: NodeConnection, timeoutMs: number): Promise<number> {
  const reply = await connection.api(readUptime(), { timeoutMs });
  const uptimeMs = reply.ok ? Number(reply.text.trim()) : NaN;
  return Number.isFinite(uptimeMs) && uptimeMs > 0 ? storeClock.nowMs() - uptimeMs : 0;
}

/** Phones that the node lists and nobody has told of: whether they have shown their password, and since when they can't be there. */
async function judgeUnseen(
  deps: RegistrationDeps,
  node: NodeRow,
  listed: readonly ListedRegistration[],
  startedMs: number,
): Promise<{ gone: ListedRegistration[]; found: PhoneReport[] }> {
  const nowMs = storeClock.nowMs();
  const gone: ListedRegistration[] = [];
  const found = await Promise.all(
    listed.map(async (row): Promise<PhoneReport | undefined> => {
      const phone = fromListing(row, nowMs);
      const shownMs = await deps.shownLogins.shownAtMs(node.id, row.username, row.domain);
      const judged = judgeListed(row.transport, shownMs, startedMs);
      if (judged === 'gone') gone.push(row);
      if (judged === 'gone' || !(await isBelieved(deps, node, phone))) return undefined;
      return { kind: 'registered', node, found: phone, unproven: judged === 'unproven' };
    }),
  );
  return { gone, found: found.filter((one) => one !== undefined) };
}

function fromListing(row: ListedRegistration, nowMs: number): FoundRegistration {
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
