/** Decides which node takes a call: pure, so that the same question always has the same, explainable answer. */

/** What is known of a node at the moment of the choice. */
export interface NodeView {
  id: string;
  name: string;
  state: 'joining' | 'serving' | 'draining' | 'down';
  zone: string;
  capacityUnits: number;
  /** Units held by claims, this replica's and all others'. */
  claimedUnits: number;
  sessionCount: number;
  maxSessions: number;
  idleCpuPercent: number;
  /** Milliseconds since 1970 of the last HEARTBEAT; null before the first. */
  reportedAtMs: number | null;
}

export interface PlacementRequest {
  units: number;
  /** The caller's zone, where it is known. */
  zone?: string;
  /** Nodes at which the caller's phones are registered: no second node is needed to reach them there. */
  registeredNodeIds: readonly string[];
  /** Nodes that refused or died in an earlier attempt. */
  excludedNodeIds: readonly string[];
  /** A report older than this says nothing about now. */
  reportLimitMs: number;
  /** A node with less idle CPU takes no new call; 0 leaves it to the score. */
  minIdleCpuPercent: number;
}

export type Rejection =
  'not_serving' | 'silent' | 'tried_before' | 'full' | 'max_sessions' | 'busy_cpu' | 'claim_refused';

export interface Considered {
  nodeId: string;
  node: string;
  score: number | null;
  rejected: Rejection | null;
  parts: { free: number; idleCpu: number; zone: number; registered: number } | null;
}

export interface Choice {
  nodeId: string | null;
  policy: 'least_loaded';
  considered: Considered[];
}

/** Shares of the score. A registered phone outweighs a moderate difference in load, not a nearly full node. */
const WEIGHTS = { free: 0.45, idleCpu: 0.25, zone: 0.1, registered: 0.2 };
/** FreeSWITCH counts a session for each leg; two for an ordinary call. */
const SESSIONS_PER_CALL = 2;

function rejectNode(node: NodeView, request: PlacementRequest, nowMs: number): Rejection | null {
  if (node.state !== 'serving') return 'not_serving';
  if (request.excludedNodeIds.includes(node.id)) return 'tried_before';
  if (node.reportedAtMs === null || nowMs - node.reportedAtMs > request.reportLimitMs) return 'silent';
  if (node.claimedUnits + request.units > node.capacityUnits) return 'full';
  if (node.sessionCount + SESSIONS_PER_CALL > node.maxSessions) return 'max_sessions';
  if (node.idleCpuPercent < request.minIdleCpuPercent) return 'busy_cpu';
  return null;
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

/**
 * Scores every node and takes the best; equal scores go to the one `random` names, so that many replicas with the
 * same picture don't all choose the same node.
 * @param nowMs milliseconds since 1970 @param random answers in [0, 1)
 */
export function pickNode(
  nodes: readonly NodeView[],
  request: PlacementRequest,
  nowMs: number,
  random: () => number,
): Choice {
  let best: { id: string; score: number; tie: number } | null = null;
  const considered = nodes.map((node): Considered => {
    const rejected = rejectNode(node, request, nowMs);
    if (rejected) return { nodeId: node.id, node: node.name, score: null, rejected, parts: null };
    const parts = {
      free: round(WEIGHTS.free * Math.max(0, 1 - node.claimedUnits / node.capacityUnits)),
      idleCpu: round((WEIGHTS.idleCpu * node.idleCpuPercent) / 100),
      zone: request.zone !== undefined && request.zone === node.zone ? WEIGHTS.zone : 0,
      registered: request.registeredNodeIds.includes(node.id) ? WEIGHTS.registered : 0,
    };
    const score = round(parts.free + parts.idleCpu + parts.zone + parts.registered);
    const tie = random();
    if (!best || score > best.score || (score === best.score && tie > best.tie)) best = { id: node.id, score, tie };
    return { nodeId: node.id, node: node.name, score, rejected: null, parts };
  });
  const chosen = best as { id: string } | null;
  return { nodeId: chosen?.id ?? null, policy: 'least_loaded', considered };
}

const REASONS: Record<Rejection, string> = {
  not_serving: 'it takes no new calls (joining, draining or down)',
  silent: 'its last report is too old',
  tried_before: 'it refused or died in an earlier attempt of this call',
  full: 'its capacity is claimed',
  max_sessions: 'FreeSWITCH is at its max-sessions',
  busy_cpu: 'it has less idle CPU than is asked of a node',
  claim_refused: 'another replica claimed the last of its capacity first',
};

/** One sentence a person can read, for GET /v1/calls/{id}/placement. */
export function explainConsidered(entry: Considered, chosenNodeId: string | null): string {
  if (entry.rejected) return `${entry.node}: not possible, because ${REASONS[entry.rejected]}.`;
  const parts = entry.parts!;
  const why = [
    `free capacity ${parts.free}`,
    `idle CPU ${parts.idleCpu}`,
    ...(parts.zone > 0 ? [`same zone ${parts.zone}`] : []),
    ...(parts.registered > 0 ? [`the caller's phone is registered there ${parts.registered}`] : []),
  ].join(' + ');
  return `${entry.node}: ${entry.nodeId === chosenNodeId ? 'chosen' : 'possible'}, score ${entry.score} = ${why}.`;
}
