/** What a node says of times counts only as far as it can be true. */
import { boundRecord, boundTime } from '../../../../src/domains/nodes/trust/bounded-time';
import { boundReport } from '../../../../src/domains/nodes/trust/bounded-report';

const SINCE = Date.parse('2026-11-01T10:00:00Z');
const NOW = SINCE + 60_000;
const at = (ms: number): string => new Date(ms).toISOString();

test.each([
  ['in the call is taken as it is', SINCE + 7000, SINCE + 7000, false],
  ['a little before it is its beginning', SINCE - 2000, SINCE, false],
  ['a little in the future is now', NOW + 2000, NOW, false],
  ['long before it is when we heard of it', 1000, NOW, true],
  ['far in the future is when we heard of it', NOW + 3_600_000, NOW, true],
  ['that is no number is when we heard of it', NaN, NOW, true],
])('a time %s', (_what, claimed, expected, isMoved) => {
  expect(boundTime(claimed, SINCE, NOW)).toEqual({ at: new Date(expected), isMoved });
});

test('a record with an answer in 1970 talks no longer than its call has lasted', () => {
  const told = { ringingMs: null, answeredMs: 1, bridgedMs: 1000, endedMs: NOW };
  const bound = boundRecord(told, SINCE, NOW);
  expect([at(bound.bridgedAt!.getTime()), at(bound.endedAt.getTime()), bound.isMoved]).toEqual([
    at(SINCE),
    at(NOW),
    true,
  ]);
});

test('a record of a node whose clock is an hour behind keeps its length', () => {
  const hour = 3_600_000;
  const told = { ringingMs: SINCE + 1000, answeredMs: SINCE + 5000, bridgedMs: SINCE + 5000, endedMs: NOW };
  const behind = Object.fromEntries(Object.entries(told).map(([name, ms]) => [name, ms - hour])) as typeof told;
  const bound = boundRecord(behind, SINCE, NOW);
  expect(bound.endedAt.getTime() - bound.bridgedAt!.getTime()).toBe(55_000);
  expect(bound).toEqual({ ...boundRecord(told, SINCE, NOW), isMoved: true });
});

test('a record without an end ended now, and what did not happen is not told', () => {
  const bound = boundRecord({ ringingMs: null, answeredMs: null, bridgedMs: null, endedMs: null }, SINCE, NOW);
  const never = { ringingAt: null, answeredAt: null, bridgedAt: null };
  expect(bound).toEqual({ ...never, endedAt: new Date(NOW), isMoved: false });
});

test('no report is larger than the columns it is written to with those of all other nodes', () => {
  const told = { sessionCount: 1e300, maxSessions: -5, idleCpuPercent: NaN, version: `\u0000${'x'.repeat(9000)}` };
  expect(boundReport(told)).toEqual({
    sessionCount: 1_000_000,
    maxSessions: 0,
    idleCpuPercent: 0,
    version: 'x'.repeat(64),
  });
});
