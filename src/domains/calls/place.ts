/** Finds a node for a call and holds its capacity: reads the pool, picks by the pure rule, claims by the script. */
import { createId } from '../../infra/ids';
import type { Claims } from '../nodes/claims';
import { listNodeRows, type NodeRow } from '../nodes/nodes.store';
import { pickNode, type Choice, type NodeView } from '../nodes/pick';
import { findRegistrationsOfUsers, findUserIds } from '../registrations/registrations.store';
import type { Db } from '../../infra/db';
import { parseAddress } from './address';
import {
  insertAttempt,
  insertLeg,
  listAttempts,
  lockCall,
  savePlacement,
  updateCall,
  type AttemptRow,
  type CallRow,
} from './calls.store';
import { draftCallEvent, releaseClaim, type SettleDeps } from './settle';

export interface PlaceDeps extends SettleDeps {
  /** Milliseconds after which a node's last report says nothing. */
  reportLimitMs: number;
  minIdleCpuPercent: number;
  random: () => number;
}

export function viewNode(row: NodeRow, claimedUnits: number): NodeView {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    zone: row.zone,
    capacityUnits: Number(row.capacity_units),
    claimedUnits,
    sessionCount: row.session_count,
    maxSessions: row.max_sessions,
    idleCpuPercent: Number(row.idle_cpu_percent),
    reportedAtMs: row.reported_at?.getTime() ?? null,
  };
}

export async function readPool(db: Db, claims: Claims, nowMs: number): Promise<{ rows: NodeRow[]; views: NodeView[] }> {
  const rows = await listNodeRows(db);
  const totals = await claims.readTotals(
    rows.map((r) => r.id),
    nowMs,
  );
  return { rows, views: rows.map((row, i) => viewNode(row, totals[i] ?? 0)) };
}

async function readRegisteredNodeIds(db: Db, call: CallRow): Promise<string[]> {
  const from = parseAddress(call.from_address);
  if (from.kind !== 'user') return [];
  const user = await findUserIds(db, from.username, call.domain_name);
  if (!user) return [];
  return [...new Set((await findRegistrationsOfUsers(db, [user.id])).map((r) => r.node_id))];
}

/** Picks and claims, again without the node whose last capacity another replica took. */
async function claimNode(
  deps: PlaceDeps,
  call: CallRow,
  excluded: readonly string[],
): Promise<{ choice: Choice; node: NodeRow | undefined }> {
  const registeredNodeIds = await readRegisteredNodeIds(deps.db, call);
  const refused = new Set<string>();
  for (;;) {
    const nowMs = Date.now();
    const { rows, views } = await readPool(deps.db, deps.claims, nowMs);
    const units = Number(call.units);
    const choice = pickNode(
      views.filter((v) => !refused.has(v.id)),
      {
        units,
        registeredNodeIds,
        excludedNodeIds: excluded,
        reportLimitMs: deps.reportLimitMs,
        minIdleCpuPercent: deps.minIdleCpuPercent,
      },
      nowMs,
      deps.random,
    );
    for (const view of views.filter((v) => refused.has(v.id))) {
      choice.considered.push({ nodeId: view.id, node: view.name, score: null, rejected: 'claim_refused', parts: null });
    }
    const node = rows.find((row) => row.id === choice.nodeId);
    if (!node || (await deps.claims.claim(node.id, call.id, units, Number(node.capacity_units), nowMs))) {
      return { choice, node };
    }
    refused.add(node.id);
  }
}

export type Placed =
  { done: 'placed'; attempt: AttemptRow; node: NodeRow } | { done: 'no_node' } | { done: 'not_dialable' };

/**
 * Chooses a node and writes down the choice, its reasons, the node and the leg's id, all before anything is dialled.
 * A call that was hung up or taken by somebody else meanwhile is left alone and its claim given back.
 */
export async function placeCall(deps: PlaceDeps, call: CallRow): Promise<Placed> {
  const tried = await listAttempts(deps.db, [call.id]);
  const excluded = tried.flatMap((a) => (a.node_id ? [a.node_id] : []));
  let found = await claimNode(deps, call, excluded);
  // A node that refused before is better than none, once it serves again.
  if (!found.node && excluded.length > 0) found = await claimNode(deps, call, []);
  const number = tried.length + 1;
  const now = new Date();
  const placement = {
    call_id: call.id,
    attempt: number,
    decided_at: now,
    node_id: found.node?.id ?? null,
    node_name: found.node?.name ?? null,
    policy: found.choice.policy,
    considered: found.choice.considered,
  };
  const node = found.node;
  if (!node) {
    await savePlacement(deps.db, placement);
    return { done: 'no_node' };
  }
  const attempt: AttemptRow = {
    call_id: call.id,
    number,
    node_id: node.id,
    node_name: node.name,
    node_core_uuid: node.core_uuid,
    leg_id: createId(),
    placed_at: now,
    rang_at: null,
    ended_at: null,
    result: null,
    hangup_cause: null,
  };
  const recorded = await deps.log.record(async (trx, emit) => {
    const locked = await lockCall(trx, call.id);
    if (!locked || locked.hangup_requested_at !== null) return false;
    if (!(await updateCall(trx, call.id, ['queued'], { state: 'placing', node_id: node.id, placing_at: now })))
      return false;
    await insertAttempt(trx, attempt);
    await insertLeg(trx, {
      id: attempt.leg_id,
      call_id: call.id,
      node_id: node.id,
      role: 'from',
      address: call.from_address,
      state: 'placing',
      created_at: now,
    });
    await savePlacement(trx, placement);
    emit(draftCallEvent('call.placing', { ...locked, node_id: node.id }, { node: node.name, attempt: number }));
    return true;
  });
  if (recorded) return { done: 'placed', attempt, node };
  await releaseClaim(deps, node.id, call.id);
  return { done: 'not_dialable' };
}
