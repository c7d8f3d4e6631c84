/** The named rules of which node to take of those that can: pure, and each says why it passed the others over. */
import { LIMITS } from '../limits';
import type { NodeState } from '../nodes.store';

/** What is known of a node at the moment of the choice. */
export interface NodeView {
  id: string;
  name: string;
  state: NodeState;
  zone: string;
  /** What counts: the effective capacity where there is one, else what the node says of itself. */
  capacityUnits: number;
  /** Units held by claims, this replica's and all others'. */
  claimedUnits: number;
  sessionCount: number;
  maxSessions: number;
  idleCpuPercent: number;
  /** Milliseconds since 1970 of the last HEARTBEAT; null before the first. */
  reportedAtMs: number | null;
  /** Why its health checks or its canary say that it must get no new calls; left out or null: it is well. */
  unhealthyReason?: string | null;
  /** Modules that it has not; left out or null: none is known to be missing. */
  missingModules?: readonly string[] | null;
  /** It was refused lately, and is not yet well below the limit that refused it. */
  saturated?: Saturation | null;
}

export type Saturation = 'busy_cpu' | 'full';

export const POLICY_NAMES = ['least_loaded', 'zone_first', 'two_choices', 'sticky'] as const;
export type PolicyName = (typeof POLICY_NAMES)[number];

export interface ScoreParts {
  free: number;
  idleCpu: number;
  zone: number;
  registered: number;
}

/** Why a node that could take the call was not looked at in the end. */
export type NotPreferred = 'saturated' | 'stale' | 'other_zone' | 'not_drawn' | 'not_preferred';

/** A node that can take the call. */
export interface Candidate {
  view: NodeView;
  score: number;
  parts: ScoreParts;
  /** Settles equal scores, so that many replicas with the same snapshot don't all choose the same node. */
  tie: number;
  stale: boolean;
}

export interface PolicyRequest {
  /** The caller's zone, where it is known. */
  zone?: string;
  /** Named nodes, the best first: they are taken where they can. */
  preferNodeIds?: readonly string[];
  registeredNodeIds: readonly string[];
}

export interface PolicyChoice {
  chosen: Candidate;
  /** The rule that decided; `sticky` where a named node was taken. */
  policy: PolicyName;
  notPreferred: Map<string, NotPreferred>;
}

const isBetter = (a: Candidate, b: Candidate): boolean => a.score > b.score || (a.score === b.score && a.tie > b.tie);
const bestOf = (list: readonly Candidate[]): Candidate =>
  list.reduce((best, one) => (isBetter(one, best) ? one : best));

/** Takes the narrower list where somebody is left in it, and writes down who is not. */
function narrow(
  list: readonly Candidate[],
  keep: (candidate: Candidate) => boolean,
  why: NotPreferred,
  notPreferred: Map<string, NotPreferred>,
): readonly Candidate[] {
  const kept = list.filter(keep);
  if (kept.length === 0 || kept.length === list.length) return list;
  for (const candidate of list) if (!keep(candidate)) notPreferred.set(candidate.view.id, why);
  return kept;
}

type Decide = (
  list: readonly Candidate[],
  request: PolicyRequest,
  random: () => number,
  notPreferred: Map<string, NotPreferred>,
) => Candidate;

const leastLoaded: Decide = (list) => bestOf(list);

const zoneFirst: Decide = (list, request, _random, notPreferred) =>
  bestOf(
    request.zone === undefined ? list : narrow(list, (c) => c.view.zone === request.zone, 'other_zone', notPreferred),
  );

/**
 * The better of two drawn at random. Replicas whose snapshots are all equally old don't run to the same best node, and
 * the load stays nearly as even (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").
 */
const twoChoices: Decide = (list, _request, random, notPreferred) => {
  if (list.length <= 2) return bestOf(list);
  const first = Math.floor(random() * list.length);
  const second = (first + 1 + Math.floor(random() * (list.length - 1))) % list.length;
  const drawn = [list[first]!, list[second]!];
  for (const candidate of list) if (!drawn.includes(candidate)) notPreferred.set(candidate.view.id, 'not_drawn');
  return bestOf(drawn);
};

/** As a rule for every request: the caller's phone names the node. */
const sticky: Decide = (list, request, _random, notPreferred) =>
  bestOf(narrow(list, (c) => request.registeredNodeIds.includes(c.view.id), 'not_preferred', notPreferred));

const POLICIES: Record<PolicyName, Decide> = {
  least_loaded: leastLoaded,
  zone_first: zoneFirst,
  two_choices: twoChoices,
  sticky,
};

/** Chooses among nodes that can all take the call. @returns undefined where there is none. */
export function choose(
  candidates: readonly Candidate[],
  request: PolicyRequest,
  policy: PolicyName,
  random: () => number,
): PolicyChoice | undefined {
  if (candidates.length === 0) return undefined;
  const notPreferred = new Map<string, NotPreferred>();
  // A named node is taken before any rule is asked, also while it rests: moving costs more than a moment's load.
  for (const id of request.preferNodeIds ?? []) {
    const chosen = candidates.find((c) => c.view.id === id);
    if (!chosen) continue;
    for (const other of candidates) if (other !== chosen) notPreferred.set(other.view.id, 'not_preferred');
    return { chosen, policy: 'sticky', notPreferred };
  }
  const fresh = narrow(candidates, (c) => !c.stale, 'stale', notPreferred);
  const rested = narrow(fresh, (c) => !c.view.saturated, 'saturated', notPreferred);
  return { chosen: POLICIES[policy](rested, request, random, notPreferred), policy, notPreferred };
}

/**
 * Whether a node rests after this look at it. Without the lower threshold a node at its limit would be taken and
 * refused in turns, with every call that ends on it.
 */
export function updateSaturation(
  before: Saturation | null,
  node: Pick<NodeView, 'capacityUnits' | 'claimedUnits' | 'idleCpuPercent'>,
  minIdleCpuPercent: number,
): Saturation | null {
  if (minIdleCpuPercent > 0) {
    if (node.idleCpuPercent < minIdleCpuPercent) return 'busy_cpu';
    if (before === 'busy_cpu' && node.idleCpuPercent < minIdleCpuPercent + LIMITS.idleCpuReturnPercent) return before;
  }
  if (node.claimedUnits + 1 > node.capacityUnits) return 'full';
  if (before === 'full' && node.claimedUnits > node.capacityUnits * LIMITS.fullReturnShare) return before;
  return null;
}

const RULES: Record<PolicyName, string> = {
  least_loaded: 'the node with the best score of free capacity, idle CPU, zone and where the phone is',
  zone_first: "nodes of the caller's zone before all others, then the best score",
  two_choices: 'the better of two nodes drawn at random',
  sticky: 'the node that was asked for by name or by the phone registered there, then the best score',
};

/** One sentence on the rule itself. */
export function explainPolicy(policy: string): string {
  // Decisions of another release may name a rule that is not known here.
  return Object.hasOwn(RULES, policy) ? `Policy ${policy}: ${RULES[policy as PolicyName]}.` : `Policy ${policy}.`;
}

const PASSED: Record<NotPreferred, string> = {
  saturated: 'it was at its limit a moment ago, and is taken only where no other can',
  stale: 'its report is late, and it is taken only where no other can',
  other_zone: 'it is in another zone',
  not_drawn: 'it was not one of the two drawn',
  not_preferred: 'another node was asked for',
};
export const explainNotPreferred = (why: NotPreferred): string => PASSED[why];
