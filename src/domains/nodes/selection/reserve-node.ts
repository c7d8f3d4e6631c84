/** Reserves a node for a call or room: selects by the pure rule from the pool's snapshot, claims by the script, and looks once more. */
import type { Db } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import type { Claims } from '../capacity/claims';
import { findLacks, type Feature } from '../features/features';
import { findNode, type NodeRow } from '../nodes.store';
import { selectNode, type Choice, type Considered, type Rejection } from './select-node';
import type { NodeView, PolicyName } from './policies';
import type { PoolSnapshots } from '../pool/pool-snapshot';

export interface ReserveDeps {
  db: Db;
  claims: Claims;
  pool: PoolSnapshots;
  /** Milliseconds after which a node's last report says nothing. */
  reportLimitMs: number;
  minIdleCpuPercent: number;
  /** PLACEMENT_POLICY; least_loaded where it is left out. */
  policy?: PolicyName;
  random: () => number;
  /** Told how long a choice took, claim included. */
  observePlacement?: (seconds: number, found: boolean) => void;
}

export interface ReserveRequest {
  callId: string;
  units: number;
  registeredNodeIds: readonly string[];
  excludedNodeIds: readonly string[];
  /** What the node must be able to do; left out: nothing in particular. */
  needs?: readonly Feature[];
  /** Taken before any policy is asked, the first that can. */
  preferNodeIds?: readonly string[];
  /** The caller's zone; where it is left out, that of the node its phone is registered at. */
  zone?: string;
}

/** What the last look says of a node that was claimed. */
export type LastLook<T> =
  | { is: 'kept'; value: T }
  /** The claim is given back, and another node is looked for. */
  | { is: 'rejected'; why: Rejection }
  /** The claim is given back, and no other node is looked for. */
  | { is: 'given up'; value: T };

export interface Reserved<T> {
  choice: Choice;
  /** Undefined where no node can take the call. */
  value: T | undefined;
}

export interface ReservedNode {
  choice: Choice;
  /** The row as it is after the claim; undefined where no node can take the call. */
  node: NodeRow | undefined;
}

/** For whoever writes down later what the node is for. */
export async function reserveNode(deps: ReserveDeps, request: ReserveRequest): Promise<ReservedNode> {
  const { choice, value } = await reserveWith(deps, request, async ({ id }): Promise<LastLook<NodeRow>> => {
    const node = await findNode(deps.db, id);
    if (node?.state !== 'serving') return { is: 'rejected', why: 'not_serving' };
    if (node.unhealthy_reason) return { is: 'rejected', why: 'unhealthy' };
    if (findLacks(node.missing_modules, request.needs ?? []).length > 0) return { is: 'rejected', why: 'lacks_module' };
    return { is: 'kept', value: node };
  });
  return { choice, node: value };
}

/**
 * A snapshot a moment old is good enough to choose by, since the script refuses what is full by now, and the last look
 * sees what a claim doesn't know: that the node drains, or is gone. "No node" is only said of an exact one.
 * @param look may write down, in the same statement, what the node is for
 */
export async function reserveWith<T>(
  deps: ReserveDeps,
  request: ReserveRequest,
  check: (node: NodeView, choice: Choice) => Promise<LastLook<T>>,
): Promise<Reserved<T>> {
  const began = performance.now();
  const reserved = await selectAndClaim(deps, request, check);
  deps.observePlacement?.((performance.now() - began) / 1000, reserved.value !== undefined);
  return reserved;
}

async function selectAndClaim<T>(
  deps: ReserveDeps,
  request: ReserveRequest,
  check: (node: NodeView, choice: Choice) => Promise<LastLook<T>>,
): Promise<Reserved<T>> {
  const refused = new Map<string, Rejection>();
  let exact = false;
  for (;;) {
    const views = await (exact ? deps.pool.readExactly() : deps.pool.read());
    const nowMs = storeClock.nowMs();
    const { reportLimitMs, minIdleCpuPercent, policy } = deps;
    const zone = request.zone ?? zoneOf(views, request.registeredNodeIds);
    const choice = selectNode(
      refused.size > 0 ? views.filter((v) => !refused.has(v.id)) : views,
      { ...request, zone, policy, reportLimitMs, minIdleCpuPercent },
      nowMs,
      deps.random,
    );
    for (const view of views) if (refused.has(view.id)) choice.considered.push(refusal(view, refused.get(view.id)!));
    const chosen = views.find((v) => v.id === choice.nodeId);
    if (!chosen) {
      if (exact) return { choice, value: undefined };
      exact = true;
      continue;
    }
    const seen = await claimAndLook(deps, request, chosen, nowMs, () => check(chosen, choice));
    if (seen.is !== 'rejected') return { choice, value: seen.value };
    refused.set(chosen.id, seen.why);
  }
}

/** Undefined where phones are in no zone, or in several. */
function zoneOf(views: readonly NodeView[], nodeIds: readonly string[]): string | undefined {
  if (nodeIds.length === 0) return undefined;
  const zones = new Set(views.filter((v) => nodeIds.includes(v.id) && v.zone !== '').map((v) => v.zone));
  return zones.size === 1 ? [...zones][0] : undefined;
}

/** What is not kept is not claimed afterwards. */
async function claimAndLook<T>(
  deps: ReserveDeps,
  request: ReserveRequest,
  chosen: NodeView,
  nowMs: number,
  check: () => Promise<LastLook<T>>,
): Promise<LastLook<T>> {
  // Before the claim is granted, so that others who choose in the meantime see it; one refused stays counted as full.
  deps.pool.reserve(chosen.id, request.units);
  let seen: LastLook<T>;
  try {
    const granted = await deps.claims.claim(chosen.id, request.callId, request.units, chosen.capacityUnits, nowMs);
    if (!granted) return { is: 'rejected', why: 'claim_refused' };
    seen = await check();
  } catch (error) {
    await giveBack(deps, request, chosen.id);
    throw error;
  }
  if (seen.is !== 'kept') await giveBack(deps, request, chosen.id);
  return seen;
}

async function giveBack(deps: ReserveDeps, request: ReserveRequest, nodeId: string): Promise<void> {
  deps.pool.reserve(nodeId, -request.units);
  await deps.claims.release(nodeId, request.callId, storeClock.nowMs()).catch(() => undefined); // else it expires by itself
}

function refusal(view: NodeView, rejected: Rejection): Considered {
  return { nodeId: view.id, node: view.name, score: null, rejected, parts: null };
}
