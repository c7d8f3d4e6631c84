/** How long Switchyard waits before it tries again. */
import { backoffMs } from '../../../src/infra/flow/backoff';

const pause = { firstMs: 100, longestMs: 1000 };

test('each pause is twice the one before, up to the longest', () => {
  expect([1, 2, 3, 4, 5, 6].map((failures) => backoffMs(failures, pause))).toEqual([100, 200, 400, 800, 1000, 1000]);
});

test('a million failures still mean the longest pause, and none the first', () => {
  expect(backoffMs(1e6, pause)).toBe(1000);
  expect(backoffMs(0, pause)).toBe(100);
});
