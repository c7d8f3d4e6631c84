/** Holds the choice of a node to what an operator would expect of it. */
import {
  explainConsidered,
  type NodeView,
  type PlacementRequest,
} from '../../../../src/domains/nodes/selection/select-node';
import { node, NOW, pick as pickAmong } from '../node-view';

const pick = (nodes: NodeView[], change: Partial<PlacementRequest> = {}, random?: () => number) =>
  pickAmong(nodes, { minIdleCpuPercent: 5, ...change }, random);

test('the node with the most free capacity is taken', () => {
  expect(pick([node('a', { claimedUnits: 50 }), node('b', { claimedUnits: 10 })]).nodeId).toBe('b');
});

test('a busy processor weighs against a node', () => {
  expect(pick([node('a', { idleCpuPercent: 20 }), node('b', { idleCpuPercent: 90 })]).nodeId).toBe('b');
});

test("the node of the caller's own phone is preferred, but not when it is nearly full", () => {
  const nodes = (claimed: number) => [node('a', { claimedUnits: claimed }), node('b')];
  expect(pick(nodes(20), { registeredNodeIds: ['a'] }).nodeId).toBe('a');
  expect(pick(nodes(95), { registeredNodeIds: ['a'] }).nodeId).toBe('b');
});

test.each([
  ['not_serving', node('a', { state: 'draining' })],
  ['not_serving', node('a', { state: 'down' })],
  ['silent', node('a', { reportedAtMs: NOW - 8000 })],
  ['silent', node('a', { reportedAtMs: null })],
  ['full', node('a', { claimedUnits: 99.5 })],
  ['max_sessions', node('a', { sessionCount: 999 })],
  ['busy_cpu', node('a', { idleCpuPercent: 2 })],
] as const)('a node that is %s is never picked, and the reason is kept', (reason, it) => {
  const choice = pick([it]);
  expect(choice.nodeId).toBeNull();
  expect(choice.considered[0]!.rejected).toBe(reason);
  expect(explainConsidered(choice.considered[0]!, null)).toMatch(/^a: not possible, because /);
});

test('a node that refused before is left out', () => {
  const choice = pick([node('a'), node('b')], { excludedNodeIds: ['a'] });
  expect(choice.nodeId).toBe('b');
  expect(choice.considered[0]!.rejected).toBe('tried_before');
});

test('equal nodes share the calls', () => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const nodes = Array.from({ length: 10 }, (_, i) => node(`n${i}`));
  const counts = new Map<string, number>();
  for (let i = 0; i < 5000; i += 1) {
    const { nodeId } = pick(nodes, {}, random);
    counts.set(nodeId!, (counts.get(nodeId!) ?? 0) + 1);
  }
  for (const count of counts.values()) expect(Math.abs(count - 500)).toBeLessThan(120);
});

test('the explanation names the chosen node and the parts of its score', () => {
  const choice = pick([node('a'), node('b', { claimedUnits: 40 })], { registeredNodeIds: ['a'] });
  const lines = choice.considered.map((c) => explainConsidered(c, choice.nodeId));
  expect(lines[0]).toBe(
    "a: chosen, score 0.9 = free capacity 0.45 + idle CPU 0.25 + the caller's phone is registered there 0.2.",
  );
  expect(lines[1]).toMatch(/^b: possible, score 0.52/);
});
