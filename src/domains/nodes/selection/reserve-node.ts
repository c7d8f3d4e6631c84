/** Holds a node for a call: picks by the pure rule from the pool's picture, claims by the script, and looks once more. */
import type { Db } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import type { Claims } from '../capacity/claims';
import { findLacks, type Feature } from '../features/features';
import { findNode, type NodeRow } from '../nodes.store';
import { pickNode, type Choice, type Considered, type Rejection } from './select-node';
import type { NodeView, PolicyName } from './policies';
import type { PoolPicture } from '../pool/pool-snapshot';

export interface HoldDeps {
  db: Db;
  claims: Claims;
  pool: PoolPicture;
  /** Milliseconds after which a node's last report says nothing. */
  reportLimitMs: number;
  minIdleCpuPercent: number;
  /** PLACEMENT_POLICY; least_loaded where it is left out. */
  policy?: PolicyName;
  random: () => number;
  /** Told how long a choice took, claim included. */
  observePlacement?: (seconds: number, found: boolean) => void;
}

export interface HoldRequest {
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

export interface Held {
  choice: Choice;
  /** The row as it is after the claim; undefined where no node can take the call. */
  node: NodeRow | undefined;
}

/**
 * A picture a moment old is good enough to choose by, since the script refuses what is full by now, and the row is
 * read again for what a claim doesn't know: that the node drains, or is gone. "No node" is only said of an exact one.
 */
export async function holdNode(deps: HoldDeps, request: HoldRequest): Promise<Held> {
  const began = performance.now();
  const held = await findAndHold(deps, request);
  deps.observePlacement?.((performance.now() - began) / 1000, held.node !== undefined);
  return held;
}

async function findAndHold(deps: HoldDeps, request: HoldRequest): Promise<Held> {
  const refused = new Map<string, Rejection>();
  let exact = false;
  for (;;) {
    const views = await (exact ? deps.pool.readExactly() : deps.pool.read());
    const nowMs = storeClock.nowMs();
    const { reportLimitMs, minIdleCpuPercent, policy } = deps;
    const zone = request.zone ?? zoneOf(views, request.registeredNodeIds);
    const choice = pickNode(
      refused.size > 0 ? views.filter((v) => !refused.has(v.id)) : views,
      { ...request, zone, policy, reportLimitMs, minIdleCpuPercent },
      nowMs,
      deps.random,
    );
    for (const view of views) if (refused.has(view.id)) choice.considered.push(refusal(view, refused.get(view.id)!));
    const chosen = views.find((v) => v.id === choice.nodeId);
    if (!chosen) {
      if (exact) return { choice, node: undefined };
      exact = true;
      continue;
    }
    const taken = await takeNode(deps, request, chosen, nowMs);
    if (typeof taken !== 'string') return { choice, node: taken };
    refused.set(chosen.id, taken);
  }
}

/** Undefined where phones are in no zone, or in several. */
function zoneOf(views: readonly NodeView[], nodeIds: readonly string[]): string | undefined {
  if (nodeIds.length === 0) return undefined;
  const zones = new Set(views.filter((v) => nodeIds.includes(v.id) && v.zone !== '').map((v) => v.zone));
  return zones.size === 1 ? [...zones][0] : undefined;
}

/** @returns the node, or why it is not to be had; nothing is held then. */
async function takeNode(
  deps: HoldDeps,
  request: HoldRequest,
  chosen: NodeView,
  nowMs: number,
): Promise<NodeRow | Rejection> {
  // Before the claim is granted, so that others who choose meanwhile see it; one refused stays counted as full.
  deps.pool.reserve(chosen.id, request.units);
  let node: NodeRow | undefined;
  try {
    const granted = await deps.claims.claim(chosen.id, request.callId, request.units, chosen.capacityUnits, nowMs);
    if (!granted) return 'claim_refused';
    node = await findNode(deps.db, chosen.id);
    if (node?.state === 'serving' && !node.unhealthy_reason && !lacks(node, request)) return node;
  } catch (error) {
    await giveBack(deps, request, chosen.id);
    throw error;
  }
  await giveBack(deps, request, chosen.id);
  if (node?.state !== 'serving') return 'not_serving';
  return node.unhealthy_reason ? 'unhealthy' : 'lacks_module';
}

const lacks = (node: NodeRow, { needs = [] }: HoldRequest): boolean =>
  findLacks(node.missing_modules, needs).length > 0;

async function giveBack(deps: HoldDeps, request: HoldRequest, nodeId: string): Promise<void> {
  deps.pool.reserve(nodeId, -request.units);
  await deps.claims.release(nodeId, request.callId, storeClock.nowMs()).catch(() => undefined); // else it expires by itself
}

function refusal(view: NodeView, rejected: Rejection): Considered {
  return { nodeId: view.id, node: view.name, score: null, rejected, parts: null };
}
