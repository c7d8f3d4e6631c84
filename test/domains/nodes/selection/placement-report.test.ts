/** The reasons of a choice stay readable and small, however large the pool is. */
import {
  CONSIDERED_KEPT,
  explainLeftOut,
  shortenReport,
} from '../../../../src/domains/nodes/selection/placement-report';
import type { Considered } from '../../../../src/domains/nodes/selection/select-node';

const node = (i: number, score: number | null, rejected: Considered['rejected'] = null): Considered => ({
  nodeId: `id-${i}`,
  node: `n${i}`,
  score,
  rejected,
  parts: null,
});

test('a small pool has every node explained', () => {
  const all = Array.from({ length: CONSIDERED_KEPT }, (_, i) => node(i, i));
  expect(shortenReport(all, 'id-0')).toEqual({ kept: all, leftOut: 0 });
  expect(explainLeftOut(0)).toEqual([]);
});

test('of a thousand nodes the chosen one, the best, and some of each refusal are kept, and the rest is counted', () => {
  const all = Array.from({ length: 1000 }, (_, i) => {
    if (i % 10 === 0) return node(i, null, 'full');
    if (i % 333 === 0) return node(i, null, 'silent');
    return node(i, i / 1000);
  });
  const { kept, leftOut } = shortenReport(all, 'id-1');
  expect(kept).toHaveLength(CONSIDERED_KEPT);
  expect(leftOut).toBe(1000 - CONSIDERED_KEPT);
  expect(kept.map((c) => c.nodeId)).toEqual(expect.arrayContaining(['id-1', 'id-998', 'id-333']));
  expect(kept.filter((c) => c.rejected === 'full')).toHaveLength(5);
  expect(explainLeftOut(leftOut)[0]).toMatch(/^950 more nodes were considered/);
});
