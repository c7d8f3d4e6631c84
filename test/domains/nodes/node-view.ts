/** A node as a choice sees it, in good health where a test says nothing else. */
import { selectNode, type Choice, type PlacementRequest } from '../../../src/domains/nodes/selection/select-node';
import type { NodeView } from '../../../src/domains/nodes/selection/policies';

export const NOW = 1_800_000_000_000;

export function node(name: string, change: Partial<NodeView> = {}): NodeView {
  return {
    id: name,
    name,
    state: 'serving',
    zone: '',
    capacityUnits: 100,
    claimedUnits: 0,
    sessionCount: 0,
    maxSessions: 1000,
    idleCpuPercent: 100,
    reportedAtMs: NOW - 500,
    ...change,
  };
}

export const request: PlacementRequest = {
  units: 1,
  registeredNodeIds: [],
  excludedNodeIds: [],
  reportLimitMs: 7000,
  minIdleCpuPercent: 0,
};

export const pick = (nodes: NodeView[], change: Partial<PlacementRequest> = {}, random = (): number => 0.5): Choice =>
  selectNode(nodes, { ...request, ...change }, NOW, random);
