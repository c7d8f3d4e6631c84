/** Decides which node takes a call: pure, so that the same question always has the same, explainable answer. */
import { explainLacks, findLacks, type Feature, type Lack } from '../features/features';
import { LIMITS } from '../limits';
import {
  choose,
  explainNotPreferred,
  explainPolicy,
  type Candidate,
  type NodeView,
  type NotPreferred,
  type PolicyName,
  type PolicyRequest,
  type ScoreParts,
} from './policies';

export type { NodeView, PolicyName } from './policies';

export interface PlacementRequest extends PolicyRequest {
  units: number;
  /** The rule among those that can; least_loaded where it is left out. */
  policy?: PolicyName;
  /** Nodes at which the caller's phones are registered: no second node is needed to reach them there. */
  registeredNodeIds: readonly string[];
  /** Nodes that refused or died in an earlier attempt. */
  excludedNodeIds: readonly string[];
  /** What the node must be able to do; left out: nothing in particular. */
  needs?: readonly Feature[];
  /** A report older than this says nothing about now. */
  reportLimitMs: number;
  /** A node with less idle CPU takes no new call; 0 leaves it to the score. */
  minIdleCpuPercent: number;
}

export type Rejection =
  | 'not_serving'
  | 'unhealthy'
  | 'silent'
  | 'tried_before'
  | 'lacks_module'
  | 'full'
  | 'max_sessions'
  | 'busy_cpu'
  | 'claim_refused';

export interface Considered {
  nodeId: string;
  node: string;
  score: number | null;
  rejected: Rejection | null;
  parts: ScoreParts | null;
  /** What there is to say of the refusal beyond its kind. */
  detail?: string;
  /** With `lacks_module`: which of what is needed. */
  lacks?: Lack[];
  /** It could have taken the call, and the rule left it out for this. */
  notPreferred?: NotPreferred;
}

export interface Choice {
  nodeId: string | null;
  policy: PolicyName;
  considered: Considered[];
}

/** Shares of the score. A registered phone outweighs a moderate difference in load, not a nearly full node. */
const WEIGHTS = { free: 0.45, idleCpu: 0.25, zone: 0.1, registered: 0.2 };

function rejectNode(node: NodeView, request: PlacementRequest, nowMs: number): Rejection | null {
  if (node.state !== 'serving') return 'not_serving';
  if (request.excludedNodeIds.includes(node.id)) return 'tried_before';
  if (node.reportedAtMs === null || nowMs - node.reportedAtMs > request.reportLimitMs) return 'silent';
  if (node.unhealthyReason) return 'unhealthy';
  if (findLacks(node.missingModules, request.needs ?? []).length > 0) return 'lacks_module';
  if (node.claimedUnits + request.units > node.capacityUnits) return 'full';
  if (node.sessionCount + LIMITS.sessionsPerCall > node.maxSessions) return 'max_sessions';
  if (node.idleCpuPercent < request.minIdleCpuPercent || node.saturated === 'busy_cpu') return 'busy_cpu';
  return null;
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

function scoreNode(node: NodeView, request: PlacementRequest): ScoreParts {
  return {
    free: round(WEIGHTS.free * Math.max(0, 1 - node.claimedUnits / node.capacityUnits)),
    idleCpu: round((WEIGHTS.idleCpu * node.idleCpuPercent) / 100),
    zone: request.zone !== undefined && request.zone === node.zone ? WEIGHTS.zone : 0,
    registered: request.registeredNodeIds.includes(node.id) ? WEIGHTS.registered : 0,
  };
}

function detailOf(
  node: NodeView,
  request: PlacementRequest,
  rejected: Rejection,
): Pick<Considered, 'detail' | 'lacks'> {
  if (rejected === 'unhealthy') return { detail: node.unhealthyReason ?? '' };
  if (rejected === 'not_serving') return { detail: node.state };
  if (rejected !== 'lacks_module') return {};
  const lacks = findLacks(node.missingModules, request.needs ?? []);
  return { detail: explainLacks(lacks), lacks };
}

/**
 * Refuses the nodes that can't, scores the others, and lets the policy take one of them.
 * @param nowMs milliseconds since 1970 @param random answers in [0, 1)
 */
export function selectNode(
  nodes: readonly NodeView[],
  request: PlacementRequest,
  nowMs: number,
  random: () => number,
): Choice {
  const staleMs = request.reportLimitMs * LIMITS.lateShare;
  const candidates: Candidate[] = [];
  const considered = nodes.map((node): Considered => {
    const rejected = rejectNode(node, request, nowMs);
    if (rejected) {
      return {
        nodeId: node.id,
        node: node.name,
        score: null,
        rejected,
        parts: null,
        ...detailOf(node, request, rejected),
      };
    }
    const parts = scoreNode(node, request);
    const score = round(parts.free + parts.idleCpu + parts.zone + parts.registered);
    candidates.push({ view: node, score, parts, tie: random(), stale: nowMs - node.reportedAtMs! > staleMs });
    return { nodeId: node.id, node: node.name, score, rejected: null, parts };
  });
  const policy = request.policy ?? 'least_loaded';
  const choice = choose(candidates, request, policy, random);
  if (!choice) return { nodeId: null, policy, considered };
  if (choice.notPreferred.size > 0)
    for (const entry of considered) {
      const notPreferred = choice.notPreferred.get(entry.nodeId);
      if (notPreferred) entry.notPreferred = notPreferred;
    }
  return { nodeId: choice.chosen.view.id, policy: choice.policy, considered };
}

const REASONS: Record<Rejection, string> = {
  not_serving: 'it takes no new calls',
  unhealthy: 'it is not well',
  silent: 'its last report is too old',
  tried_before: 'it refused or died in an earlier attempt of this call',
  lacks_module: 'it lacks a module of FreeSWITCH',
  full: 'its capacity is claimed',
  max_sessions: 'FreeSWITCH is at its max-sessions',
  busy_cpu: 'it has less idle CPU than is asked of a node',
  claim_refused: 'another replica claimed the last of its capacity first',
};

/** One sentence a person can read, for GET /v1/calls/{id}/placement. */
export function explainConsidered(entry: Considered, chosenNodeId: string | null): string {
  if (entry.rejected) {
    const detail = entry.detail ? ` (${entry.detail})` : '';
    return `${entry.node}: not possible, because ${REASONS[entry.rejected]}${detail}.`;
  }
  const parts = entry.parts!;
  const why = [
    `free capacity ${parts.free}`,
    `idle CPU ${parts.idleCpu}`,
    ...(parts.zone > 0 ? [`same zone ${parts.zone}`] : []),
    ...(parts.registered > 0 ? [`the caller's phone is registered there ${parts.registered}`] : []),
  ].join(' + ');
  const passed = entry.notPreferred ? `; left out, because ${explainNotPreferred(entry.notPreferred)}` : '';
  const verdict = entry.nodeId === chosenNodeId ? 'chosen' : 'possible';
  return `${entry.node}: ${verdict}, score ${entry.score} = ${why}${passed}.`;
}

/** The rule, then a sentence on every node. */
export function explainChoice(
  policy: string,
  considered: readonly Considered[],
  chosenNodeId: string | null,
): string[] {
  return [explainPolicy(policy), ...considered.map((entry) => explainConsidered(entry, chosenNodeId))];
}
