/** A small pool is compared every few seconds; a large one no faster than one replica can read it. */
import { createReconcileSchedule } from '../../../../src/domains/nodes/connections/reconcile-schedule';

test('a node of a small pool has its turn each time the least pause is over', () => {
  const pace = createReconcileSchedule({ leastMs: 5000, random: () => 0.9 });
  pace.enter('a', 200, 0);
  expect(pace.acquireLease('a', undefined, 4999)).toBe(false);
  expect(pace.acquireLease('a', undefined, 5000)).toBe(true);
  expect(pace.acquireLease('a', undefined, 5001)).toBe(false);
  expect(pace.acquireLease('a', undefined, 10_000)).toBe(true);
});

test('a thousand nodes with two hundred channels each are read at four thousand channels a second, and not all at once', () => {
  let turn = 0;
  const pace = createReconcileSchedule({ leastMs: 5000, random: () => (turn++ % 100) / 100 });
  const ids = Array.from({ length: 1000 }, (_, i) => `n${i}`);
  for (const id of ids) pace.enter(id, 200, 0);
  const perSecond: number[] = [];
  for (let second = 1; second <= 200; second += 1) {
    perSecond.push(ids.filter((id) => pace.acquireLease(id, 200, second * 1000)).length);
  }
  const settled = perSecond.slice(60);
  expect(settled.reduce((sum, n) => sum + n, 0) / settled.length).toBeLessThanOrEqual(21);
  expect(settled.reduce((sum, n) => sum + n, 0) / settled.length).toBeGreaterThanOrEqual(17);
  for (const id of ids) pace.leave(id);
  pace.enter('a', 10, 0);
  expect(pace.acquireLease('a', undefined, 5000)).toBe(true);
});
