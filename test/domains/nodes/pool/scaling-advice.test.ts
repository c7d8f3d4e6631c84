/** Holds what is said about a pool's size, and "what if", to what an operator would check by hand. */
import { adviseScaling, type PoolMember, type ScalingGoal } from '../../../../src/domains/nodes/pool/scaling-advice';
import { runWhatIf, type PlayedNode, type WhatIf } from '../../../../src/domains/nodes/pool/what-if';

const member = (name: string, claimedUnits: number | null, change: Partial<PoolMember> = {}): PoolMember => ({
  name,
  state: 'serving',
  silent: false,
  claimedUnits,
  effectiveUnits: 100,
  liveCalls: claimedUnits ?? 0,
  liveLegs: 0,
  rooms: 0,
  registrations: 0,
  ...change,
});
const goal: ScalingGoal = { targetPercent: 60, minNodes: 2, maxNodes: 5 };

test.each([
  ['grow', 2, [member('a', 95), member('b', 95), member('c', 95)], 'to come back to the target'],
  ['grow', 1, [member('a', 90), member('b', 55)], 'by one at least'],
  ['grow', 1, [member('a', 0)], 'to the minimum'],
  ['grow', 1, [member('a', 0), member('b', 0, { silent: true })], 'a silent node serves nobody'],
  ['keep', 0, [member('a', 60), member('b', 70)], 'within the band'],
  ['keep', 0, [member('a', 45), member('b', 45), member('c', 45)], 'one fewer would be above the band'],
  ['keep', 0, [member('a', 95), member('b', 95), member('c', 95), member('d', 95), member('e', 95)], 'at the maximum'],
  ['keep', 0, [member('a', null), member('b', 0)], 'nothing is known'],
  ['shrink', 1, [member('a', 50), member('b', 10), member('c', 40)], 'the rest still has room'],
  ['shrink', 1, [member('a', 0), member('b', 0), member('c', 0)], 'down to the minimum only'],
] as const)('%s %i: %j (%s)', (action, count, members, _why) => {
  expect(adviseScaling(members, goal)).toMatchObject({ action, count });
});

test('the emptiest goes first: without rooms before those with, then by calls', () => {
  const members = [member('a', 1, { rooms: 1 }), member('b', 5), member('c', 3), member('d', 60)];
  expect(adviseScaling(members, goal).nodes).toEqual(['c', 'b']);
});

test('after what it recommends it recommends nothing more: it does not swing', () => {
  for (let claimed = 0; claimed <= 400; claimed += 5)
    for (let size = 2; size <= 5; size += 1) {
      const pool = (count: number) => Array.from({ length: count }, (_, i) => member(`n${i}`, claimed / count));
      const first = adviseScaling(pool(size), goal);
      const next = size + (first.action === 'grow' ? first.count : -first.count);
      const second = adviseScaling(pool(next), goal);
      if (first.action === 'grow') expect(second.action).not.toBe('shrink');
      if (first.action === 'shrink') expect(second.action).not.toBe('grow');
    }
});

function played(name: string, claimedUnits: number, change: Partial<PlayedNode> = {}): PlayedNode {
  const view = {
    id: name,
    name,
    state: 'serving' as const,
    zone: '',
    capacityUnits: 100,
    claimedUnits,
    sessionCount: 0,
    maxSessions: 1000,
    idleCpuPercent: 100,
    reportedAtMs: 0,
  };
  return { view, liveCalls: claimedUnits, rooms: 0, roomUnits: 0, ...change };
}
const nothing: WhatIf = {
  remove: [],
  add: 0,
  addedUnits: 100,
  calls: 0,
  rooms: 0,
  unitsPerRoom: 30,
  policy: 'least_loaded',
  reportLimitMs: 7000,
  minIdleCpuPercent: 0,
};
const simulate = (pool: PlayedNode[], change: Partial<WhatIf>) =>
  runWhatIf(pool, { ...nothing, ...change }, 0, () => 0.5);

test('what is on a removed node has to fit elsewhere first, rooms before calls; the pool itself is not touched', () => {
  const pool = [played('a', 70, { liveCalls: 10, rooms: 2, roomUnits: 60 }), played('b', 50), played('c', 80)];
  const answer = simulate(pool, { remove: ['a'], calls: 10 });
  expect(answer).toMatchObject({
    movedRooms: { asked: 2, placed: 1, notPlaced: 1 },
    movedCalls: { asked: 10, placed: 10 },
    calls: { asked: 10, placed: 10 },
    utilisationPercent: { before: 66.7, after: 90 },
  });
  expect(pool.map((n) => n.view.claimedUnits)).toEqual([70, 50, 80]);
});

test('every call is counted once, on nodes that hold it, however many there are', () => {
  const answer = simulate([played('a', 0), played('b', 90), played('c', 0)], {
    add: 1,
    addedUnits: 50,
    calls: 100_000,
  });
  expect(answer.calls).toEqual({ asked: 100_000, placed: 260, notPlaced: 99_740 });
  expect(answer.nodes.map((n) => [n.node, n.calls, n.unitsAfter])).toEqual([
    ['a', 100, 100],
    ['b', 10, 100],
    ['c', 100, 100],
    ['(new 1)', 50, 50],
  ]);
  expect(answer.explanation.at(-2)).toBe('100000 further calls: 99740 would not fit.');
});
