import { correctClock, describeOffset } from '../../src/infra/store-clock';

const look = (askedMs: number, tookMs: number, storeMs: number) => ({ askedMs, answeredMs: askedMs + tookMs, storeMs });

test('a clock that is in step is left as it is', () => {
  expect(correctClock(0, look(1_000_000, 4, 1_000_003))).toBe(0);
  expect(correctClock(0, look(1_000_000, 4, 999_990))).toBe(0);
});

test('a clock that is ten minutes fast is corrected to within the time that the question took', () => {
  const correctionMs = correctClock(0, look(1_600_000, 10, 1_000_004));
  expect(Math.abs(correctionMs + 600_000)).toBeLessThanOrEqual(5);
  expect(correctClock(correctionMs, look(1_700_000, 10, 1_100_006))).toBe(correctionMs);
});

test('an answer that took long says little, and moves nothing that fits it', () => {
  expect(correctClock(-600_000, look(1_600_000, 3000, 1_002_990))).toBe(-600_000);
  expect(correctClock(0, look(1_000_000, 3000, 1_002_999))).toBe(0);
});

test('when the database moves to a machine with another clock, its replicas follow', () => {
  expect(correctClock(-600_000, look(1_600_000, 2, 1_030_001))).toBeCloseTo(-570_000, -1);
});

test('an offset is said in words', () => {
  expect([describeOffset(600_000), describeOffset(-2340)]).toEqual(['600.0 s fast', '2.3 s slow']);
});
