/** Holds the named policies to their names, and the corrections of capacity to their bounds, for many pools at random. */
import {
  updateEffectiveCapacity,
  estimateEffectiveCapacity,
} from '../../../../src/domains/nodes/capacity/effective-capacity';
import { explainChoice } from '../../../../src/domains/nodes/selection/select-node';
import {
  POLICY_NAMES,
  updateSaturation,
  type NodeView,
  type PolicyName,
  type Saturation,
} from '../../../../src/domains/nodes/selection/policies';
import { createSeededRandom } from '../../../../src/infra/random';
import { AUDIO_CALL_UNITS, roomUnits } from '../../../../src/domains/nodes/capacity/units';
import { node, NOW, pick, request } from '../node-view';

function randomPool(random: () => number): NodeView[] {
  const one = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  return Array.from({ length: Math.floor(random() * 12) }, (_, i) =>
    node(`n${i}`, {
      state: one(['serving', 'serving', 'serving', 'draining', 'down', 'joining']),
      zone: one(['', 'a', 'b']),
      capacityUnits: 1 + Math.floor(random() * 20),
      claimedUnits: Math.floor(random() * 20),
      sessionCount: Math.floor(random() * 12),
      maxSessions: 10,
      idleCpuPercent: random() * 100,
      reportedAtMs: one([null, NOW - 100, NOW - 6000, NOW - 9000]),
      saturated: one([null, null, 'full', 'busy_cpu']),
    }),
  );
}

test.each(POLICY_NAMES)(
  '%s: of 1,000 random pools it never takes a node that can not, and none only where none can',
  (policy) => {
    let found = 0;
    for (let seed = 1; seed <= 1000; seed += 1) {
      const random = createSeededRandom(seed);
      const pool = randomPool(random);
      const asked = {
        policy,
        units: 0.5 + Math.floor(random() * 6) / 2,
        zone: random() < 0.5 ? 'a' : undefined,
        minIdleCpuPercent: random() < 0.5 ? 20 : 0,
        registeredNodeIds: random() < 0.5 ? ['n1'] : [],
        excludedNodeIds: random() < 0.3 ? ['n0'] : [],
        preferNodeIds: random() < 0.3 ? ['n2', 'n3'] : undefined,
      };
      const choice = pick(pool, asked, random);
      const possible = choice.considered.filter((c) => c.rejected === null);
      expect(choice.considered).toHaveLength(pool.length);
      expect(choice.nodeId === null).toBe(possible.length === 0);
      if (choice.nodeId === null) continue;
      found += 1;
      const taken = pool.find((n) => n.id === choice.nodeId)!;
      const chosen = choice.considered.find((c) => c.nodeId === choice.nodeId)!;
      expect(chosen).toMatchObject({ rejected: null });
      expect(chosen.notPreferred).toBeUndefined();
      expect(taken.state).toBe('serving');
      expect(taken.claimedUnits + asked.units).toBeLessThanOrEqual(taken.capacityUnits);
      expect(NOW - taken.reportedAtMs!).toBeLessThanOrEqual(request.reportLimitMs);
      expect(asked.excludedNodeIds).not.toContain(taken.id);
      if (asked.minIdleCpuPercent) expect(taken.idleCpuPercent).toBeGreaterThanOrEqual(20);
      // The same question has the same answer.
      const again = (): string | null => pick(pool, asked, createSeededRandom(seed)).nodeId;
      expect(again()).toBe(again());
      for (const line of explainChoice(choice.policy, choice.considered, choice.nodeId)) expect(line).toMatch(/\.$/);
    }
    expect(found).toBeGreaterThan(200);
  },
);

test('zone_first takes a busier node of the zone, and another zone only where its own can not', () => {
  const nodes = [node('here', { zone: 'a', claimedUnits: 80 }), node('there', { zone: 'b' })];
  const choice = pick(nodes, { policy: 'zone_first', zone: 'a' });
  expect(choice).toMatchObject({ nodeId: 'here', policy: 'zone_first' });
  expect(explainChoice(choice.policy, choice.considered, choice.nodeId)).toEqual([
    "Policy zone_first: nodes of the caller's zone before all others, then the best score.",
    'here: chosen, score 0.44 = free capacity 0.09 + idle CPU 0.25 + same zone 0.1.',
    'there: possible, score 0.7 = free capacity 0.45 + idle CPU 0.25; left out, because it is in another zone.',
  ]);
  expect(pick(nodes, { policy: 'least_loaded', zone: 'a' }).nodeId).toBe('there');
  nodes[0]!.claimedUnits = 100;
  expect(pick(nodes, { policy: 'zone_first', zone: 'a' }).nodeId).toBe('there');
});

/** 20 replicas place calls from one old snapshot: how many land on the fullest node afterwards. */
function spread(policy: PolicyName): number {
  const random = createSeededRandom(5);
  const truth = Array.from({ length: 50 }, (_, i) => node(`n${i}`, { claimedUnits: i % 10 }));
  for (let round = 0; round < 50; round += 1) {
    const video = truth.map((n) => ({ ...n }));
    for (let replica = 0; replica < 20; replica += 1) {
      const { nodeId } = pick(video, { policy }, random);
      truth.find((n) => n.id === nodeId)!.claimedUnits += 1;
    }
  }
  return Math.max(...truth.map((n) => n.claimedUnits)) - Math.min(...truth.map((n) => n.claimedUnits));
}

test('with twenty replicas and old snapshots, two_choices spreads better than least_loaded', () => {
  expect(spread('two_choices')).toBeLessThan(spread('least_loaded'));
  expect(spread('two_choices')).toBeLessThanOrEqual(8);
});

test('a named node is taken while it can, in the order of the names, and the next one otherwise', () => {
  const nodes = [node('a'), node('b', { claimedUnits: 90 }), node('c', { claimedUnits: 95 })];
  expect(pick(nodes, { preferNodeIds: ['c', 'b'] })).toMatchObject({ nodeId: 'c', policy: 'sticky' });
  nodes[2]!.state = 'draining';
  expect(pick(nodes, { preferNodeIds: ['c', 'b'] })).toMatchObject({ nodeId: 'b', policy: 'sticky' });
  nodes[1]!.claimedUnits = 100;
  expect(pick(nodes, { preferNodeIds: ['c', 'b'] })).toMatchObject({ nodeId: 'a', policy: 'least_loaded' });
  const busy = [node('a'), node('b', { claimedUnits: 95 })];
  expect(pick(busy, { policy: 'sticky', registeredNodeIds: ['b'] }).nodeId).toBe('b');
  expect(pick(busy, { policy: 'least_loaded', registeredNodeIds: ['b'] }).nodeId).toBe('a');
});

test('a node that was full, or whose report is stale, is taken only where no other can', () => {
  const rests = node('a', { saturated: 'full' });
  const stale = node('b', { reportedAtMs: NOW - 5000, claimedUnits: 10 });
  const busy = node('c', { claimedUnits: 90 });
  const choice = pick([rests, stale, busy]);
  expect(choice.nodeId).toBe('c');
  expect(choice.considered.map((c) => c.notPreferred)).toEqual(['saturated', 'stale', undefined]);
  expect(pick([rests, stale]).nodeId).toBe('a');
  expect(pick([stale]).nodeId).toBe('b');
});

test('a node refused for its processor or its load comes back below a lower threshold only', () => {
  let before: Saturation | null = null;
  const look = (claimedUnits: number, idleCpuPercent: number): Saturation | null =>
    (before = updateSaturation(before, { capacityUnits: 100, claimedUnits, idleCpuPercent }, 20));
  expect([look(50, 50), look(50, 19), look(50, 21), look(50, 29), look(50, 30)]).toEqual([
    null,
    'busy_cpu',
    'busy_cpu',
    'busy_cpu',
    null,
  ]);
  expect([look(99, 50), look(99.5, 50), look(95, 50), look(90.5, 50), look(90, 50), look(95, 50)]).toEqual([
    null,
    'full',
    'full',
    'full',
    null,
    null,
  ]);
});

describe('capacity', () => {
  const report = { nominalUnits: 100, effectiveUnits: null, claimedUnits: 0, idleCpuPercent: 100, elapsedMs: 10_000 };

  test('as busy as the claims let expect: what the node says of itself', () => {
    expect(estimateEffectiveCapacity({ ...report, claimedUnits: 50, idleCpuPercent: 60 })).toBe(100);
    expect(estimateEffectiveCapacity({ ...report, idleCpuPercent: 95 })).toBe(100);
  });
  test('busier than that: less, whoever the load is from; idler: more, but only of a node that proves it', () => {
    expect(estimateEffectiveCapacity({ ...report, claimedUnits: 50, idleCpuPercent: 20 })).toBeCloseTo(62.5);
    expect(estimateEffectiveCapacity({ ...report, idleCpuPercent: 50 })).toBeCloseTo(50);
    expect(estimateEffectiveCapacity({ ...report, claimedUnits: 40, idleCpuPercent: 99 })).toBe(100);
    expect(estimateEffectiveCapacity({ ...report, claimedUnits: 80, idleCpuPercent: 80 })).toBeCloseTo(142.5);
  });
  test('it follows slowly, faster down than up, and stays within its bounds for 5,000 reports at random', () => {
    const down = updateEffectiveCapacity({ ...report, effectiveUnits: 100, idleCpuPercent: 0 });
    const up = updateEffectiveCapacity({ ...report, effectiveUnits: 100, claimedUnits: 95, idleCpuPercent: 100 });
    expect(100 - down).toBeGreaterThan(3 * (up - 100));
    expect(down).toBeGreaterThan(70);
    const random = createSeededRandom(11);
    let effectiveUnits: number | null = null;
    for (let i = 0; i < 5000; i += 1) {
      effectiveUnits = updateEffectiveCapacity({
        nominalUnits: 100,
        effectiveUnits,
        claimedUnits: random() * 200,
        idleCpuPercent: random() * 120 - 10,
        elapsedMs: random() < 0.1 ? null : random() * 60_000,
      });
      expect(effectiveUnits).toBeGreaterThanOrEqual(25);
      expect(effectiveUnits).toBeLessThanOrEqual(150);
    }
  });
  test('the same report again and again leads to its estimate, and stays there', () => {
    let effectiveUnits = 100;
    const steady = { ...report, claimedUnits: 60, idleCpuPercent: 10 };
    for (let i = 0; i < 60; i += 1) effectiveUnits = updateEffectiveCapacity({ ...steady, effectiveUnits });
    expect(effectiveUnits).toBeCloseTo(estimateEffectiveCapacity(steady), 1);
  });
});

test('costs: a call is one unit, a canvas is mixed once for all, and everybody in the room adds their own', () => {
  expect(AUDIO_CALL_UNITS).toBe(1);
  const canvas = { width: 1280, height: 720, fps: 25 };
  expect(roomUnits({ video: 'mixed', canvas, withVideo: 0, withoutVideo: 0 })).toBe(18);
  expect(roomUnits({ video: 'mixed', canvas, withVideo: 4, withoutVideo: 1 })).toBe(18 + 4 * 6 + 1);
  expect(roomUnits({ video: 'passed', canvas, withVideo: 4, withoutVideo: 0 })).toBe(1 + 4 * 3);
  expect(roomUnits({ video: 'none', canvas: null, withVideo: 0, withoutVideo: 10 })).toBe(11);
});
