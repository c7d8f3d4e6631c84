import { decideSync, explainClock, isSkewed, type ClockRow } from '../../../../src/domains/nodes/clock/judge';
import {
  hearTime,
  isDoubtful,
  readTime,
  silentUntilMs,
  type NodeClock,
} from '../../../../src/domains/nodes/clock/node-clock';
import { createSeededRandom } from '../../../../src/infra/random';

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;

/** A node whose clock is ahead by this tells its time, and it arrives so much later. */
const told = (offsetMs: number, atMs: number, delayMs: number, askedAgoMs?: number) => ({
  nodeMs: atMs + offsetMs,
  arrivedMs: atMs + delayMs,
  ...(askedAgoMs === undefined ? {} : { askedMs: atMs - askedAgoMs }),
});

describe('what a node is ahead of us', () => {
  test.each([0, 8000, -8000, 10_000, -10_000, 60_000, -60_000, HOUR, -HOUR])(
    'is known to milliseconds with one question: %i ms',
    (offsetMs) => {
      const clock = hearTime(null, told(offsetMs, NOW, 2, 2));
      expect(Math.abs(clock.offsetMs - offsetMs)).toBeLessThanOrEqual(2);
    },
  );

  test('is taken from the event that was on its way for the shortest time', () => {
    const random = createSeededRandom(7);
    let clock: NodeClock | null = null;
    for (let i = 0; i < 200; i += 1)
      clock = hearTime(clock, told(-10_000, NOW + i * 100, 3 + Math.floor(random() * 200)));
    expect(clock!.offsetMs).toBeLessThanOrEqual(-10_003);
    expect(clock!.offsetMs).toBeGreaterThan(-10_020);
    expect(clock!.past).toEqual([]);
  });

  test('is not touched by events that come seconds late', () => {
    const clock = hearTime(null, told(500, NOW, 1, 1));
    const late = told(500, NOW + 1000, 9000);
    expect(isDoubtful(clock, late)).toBe(true);
    expect(hearTime(clock, late)).toEqual(clock);
    // The answer to the question that follows says that nothing has changed.
    expect(hearTime(clock, told(500, NOW + 11_000, 1, 3))).toEqual(clock);
  });

  test('follows a clock that runs slow, by what was asked', () => {
    let clock = hearTime(null, told(0, NOW, 1, 1));
    for (let i = 1; i <= 100; i += 1) clock = hearTime(clock, told(-i * 5, NOW + i * 10_000, 1, 1));
    expect(Math.abs(clock.offsetMs + 500)).toBeLessThanOrEqual(6);
    expect(clock.past).toEqual([]);
  });

  test('is right at once when the clock is set forward, by the first event', () => {
    const clock = hearTime(hearTime(null, told(-10_000, NOW, 1, 1)), told(0, NOW + 5000, 1));
    expect(clock).toEqual({ offsetMs: -1, past: [{ offsetMs: expect.any(Number), untilMs: NOW + 5001 }] });
  });

  test('is right at once when the clock is set back, by the answer to a question', () => {
    const before = hearTime(null, told(30_000, NOW, 1, 1));
    expect(isDoubtful(before, told(0, NOW + 5000, 1))).toBe(true);
    const clock = hearTime(before, told(0, NOW + 5000, 1, 1));
    expect(Math.abs(clock.offsetMs)).toBeLessThanOrEqual(1);
  });

  test('holds on to a bounded past, however often a hostile node sets its clock', () => {
    let clock: NodeClock | null = null;
    for (let i = 0; i < 1000; i += 1) clock = hearTime(clock, told((i % 2) * HOUR, NOW + i * 1000, 1, 1));
    expect(clock!.past.length).toBeLessThanOrEqual(16);
  });
});

describe('a time of the node', () => {
  test.each([10_000, -10_000, HOUR, -HOUR])('is read by our clock: %i ms', (offsetMs) => {
    const clock = hearTime(null, told(offsetMs, NOW, 0, 0));
    expect(readTime(clock, NOW - 5000 + offsetMs, NOW)).toBe(NOW - 5000);
  });

  test('from before the clock was set is read as the clock was then', () => {
    const slow = hearTime(null, told(-HOUR, NOW, 0, 0));
    const right = hearTime(slow, told(0, NOW + 60_000, 0, 0));
    const later = NOW + 120_000;
    expect(readTime(right, NOW + 30_000 - HOUR, later)).toBe(NOW + 30_000);
    expect(readTime(right, NOW + 90_000, later)).toBe(NOW + 90_000);
    // It was created before the clock was set forward, and a record tells of it an hour later.
    expect(readTime(right, NOW + 1000 - HOUR, later + HOUR)).toBe(NOW + 1000);
  });

  test('from before the clock was set back is not taken for one that is to come', () => {
    const fast = hearTime(null, told(30_000, NOW, 0, 0));
    const right = hearTime(fast, told(0, NOW + 60_000, 0, 0));
    expect(readTime(right, NOW + 55_000 + 30_000, NOW + 61_000)).toBe(NOW + 55_000);
    expect(readTime(right, NOW + 61_000, NOW + 61_000)).toBe(NOW + 61_000);
  });

  test('is as told where nothing is known', () => {
    expect(readTime(null, 12_345, NOW)).toBe(12_345);
  });
});

test('a clock that was set back explains a silence for as long as it was set back', () => {
  const fast = hearTime(null, told(30_000, NOW, 0, 0));
  const back = hearTime(fast, told(0, NOW + 1000, 0, 0));
  expect(silentUntilMs(back)).toBe(NOW + 31_000);
  expect(silentUntilMs(fast)).toBe(-Infinity);
  const forward = hearTime(hearTime(null, told(-30_000, NOW, 0, 0)), told(0, NOW + 1000, 0, 0));
  expect(silentUntilMs(forward)).toBe(-Infinity);
});

describe('a clock is judged', () => {
  test('wrong past the limit, and right again only well below', () => {
    expect([isSkewed(false, 1999), isSkewed(false, -2001), isSkewed(true, 1500), isSkewed(true, -900)]).toEqual([
      ...[false, true],
      ...[true, false],
    ]);
  });

  test('and set at once, when its calls are over, or not under phones that would be lost by it', () => {
    expect(decideSync({ offsetMs: 10_000, channels: 0, phones: 5 })).toBe('now');
    expect(decideSync({ offsetMs: HOUR, channels: 3, phones: 5 })).toBe('when idle');
    expect(decideSync({ offsetMs: -50_000, channels: 0, phones: 5 })).toBe('now');
    expect(decideSync({ offsetMs: -HOUR, channels: 0, phones: 5 })).toBe('phones');
    expect(decideSync({ offsetMs: -HOUR, channels: 0, phones: 0 })).toBe('now');
  });

  test('and said in words that tell what to do', () => {
    const record: ClockRow = {
      offsetMs: -3_600_000,
      past: [],
      isSkewed: true,
      measuredAt: '',
      hindrance: 'machine',
    };
    expect(explainClock(record)).toBe(
      "its clock is 3600.0 s slow; FreeSWITCH has read it again: the machine's own clock is wrong. Set it (NTP)",
    );
    expect(explainClock({ ...record, isSkewed: false })).toBeNull();
  });
});
