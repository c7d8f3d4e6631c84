/** How many call records of no call a node may leave with us. */
import { createStrayBudget } from '../../../../src/domains/calls/trust/stray-records';

const timesTaken = (budget: ReturnType<typeof createStrayBudget>, node: string, times: number): number =>
  Array.from({ length: times }, () => budget.take(node, 1000)).filter(Boolean).length;

test('a node leaves a hundred records of no call in an hour, and another node a hundred of its own', () => {
  let nowMs = 5;
  const budget = createStrayBudget(() => nowMs);
  expect([timesTaken(budget, 'one', 500), timesTaken(budget, 'two', 500)]).toEqual([100, 100]);
  nowMs += 3_599_999;
  expect(timesTaken(budget, 'one', 1)).toBe(0);
  nowMs += 1;
  expect(timesTaken(budget, 'one', 500)).toBe(100);
});

test('a record of no call that is over 64 kB is not kept, and costs nothing', () => {
  const budget = createStrayBudget(() => 0);
  expect([budget.take('one', 65_537), budget.take('one', 65_536)]).toEqual([false, true]);
  expect(timesTaken(budget, 'one', 500)).toBe(99);
});
