import {
  closeGap,
  decideAfterFailure,
  endGapWithRoom,
  FLOW_LIMITS,
  judgeFlow,
  openGap,
  pauseBeforeTry,
  startFlow,
  type FlowSample,
  type FlowVerdict,
} from '../../../src/domains/relays/state-machine';
import { parseSendQueues } from '../../../src/domains/relays/process/tcp-backlog';

const NOW = new Date('2026-05-01T12:00:00Z');
const later = (ms: number): Date => new Date(NOW.getTime() + ms);

test('it is tried again after 1, 2, 4 … and at most 30 seconds', () => {
  expect([1, 2, 3, 4, 5, 6, 7, 1000].map(pauseBeforeTry)).toEqual([
    1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
  ]);
});

test('it fails when it was tried as often as it may be', () => {
  const relay = { tries: 2, restarts: 7, max_restarts: 3, live_since: null };
  expect(decideAfterFailure(relay, NOW)).toEqual({
    state: 'restarting',
    tries: 3,
    restarts: 8,
    nextTryAt: later(4000),
  });
  expect(decideAfterFailure({ ...relay, tries: 3 }, NOW)).toEqual({ state: 'failed', tries: 4 });
});

test('a relay that was live for a minute begins to count anew, one that was live for a second does not', () => {
  const relay = { tries: 3, restarts: 3, max_restarts: 3, live_since: NOW };
  expect(decideAfterFailure(relay, later(60_000))).toMatchObject({ state: 'restarting', tries: 1, restarts: 4 });
  expect(decideAfterFailure(relay, later(1000))).toMatchObject({ state: 'failed' });
});

test('what our own process did is not held against a relay, until it happens under it again and again', () => {
  const relay = { tries: 3, restarts: 3, max_restarts: 0, live_since: null };
  expect(decideAfterFailure(relay, NOW)).toMatchObject({ state: 'failed' });
  expect(decideAfterFailure(relay, NOW, true)).toMatchObject({ state: 'restarting', tries: 4, restarts: 4 });
  expect(decideAfterFailure({ ...relay, tries: 20 }, NOW, true)).toMatchObject({ state: 'failed' });
});

test('a relay that may never be tried again fails at once', () => {
  expect(decideAfterFailure({ tries: 0, restarts: 0, max_restarts: 0, live_since: null }, NOW).state).toBe('failed');
});

test('a gap lasts from the last byte to the next, whatever is tried in between', () => {
  const gaps = openGap(openGap([], NOW, 'the target: it was closed'), later(5000), 'refused');
  expect(gaps).toEqual([{ from: NOW.toISOString(), to: null, reason: 'the target: it was closed' }]);
  const closed = closeGap(gaps, later(9000));
  expect(closed.ms).toBe(9000);
  expect(closed.closed?.to).toBe(later(9000).toISOString());
  expect(closeGap(closed.gaps, later(10_000))).toMatchObject({ closed: undefined, ms: 0 });
});

test('the list of gaps does not grow without end', () => {
  let gaps = openGap([], NOW, 'x');
  for (let i = 1; i < 300; i += 1) gaps = openGap(closeGap(gaps, later(i)).gaps, later(i), 'x');
  expect(gaps).toHaveLength(100);
});

test("a room's end is no gap, and ends the gap that was open", () => {
  expect(endGapWithRoom(openGap([], NOW, 'x'), later(500))).toEqual({ gaps: [], ms: 0 });
  expect(endGapWithRoom(openGap([], NOW, 'x'), later(20_000)).ms).toBe(20_000);
});

/** Looks once a second at what `at` says. @returns the first verdict that is not "flows", and when */
function follow(seconds: number, at: (second: number) => Partial<FlowSample>): { verdict: FlowVerdict; after: number } {
  const sample = (s: number): FlowSample => ({
    atMs: s * 1000,
    received: s * 1000,
    given: s * 1000,
    waiting: 0,
    ...at(s),
  });
  let state = startFlow(sample(0));
  for (let s = 1; s <= seconds; s += 1) {
    const judged = judgeFlow(state, sample(s), FLOW_LIMITS);
    if (judged.verdict !== 'flows') return { verdict: judged.verdict, after: s };
    state = judged.state;
  }
  return { verdict: 'flows', after: seconds };
}

test('a stream that flows is left alone, also one that waits now and then', () => {
  expect(follow(120, () => ({})).verdict).toBe('flows');
  expect(follow(120, (s) => ({ waiting: s % 5 === 0 ? 0 : 3000 })).verdict).toBe('flows');
});

test('a target whose machine takes nothing more has stalled after five seconds', () => {
  expect(follow(60, (s) => ({ waiting: s < 10 ? 0 : (s - 10) * 1000 }))).toEqual({
    verdict: 'target_stalled',
    after: 15,
  });
  expect(follow(60, (s) => ({ untaken: s < 10 ? 0 : (s - 10) * 1000 }))).toEqual({
    verdict: 'target_stalled',
    after: 15,
  });
});

test('whoever stood still for a minute takes nobody else for stalled, and sees who is', () => {
  const stop = (s: number) => s * 1000 + (s < 20 ? 0 : 60_000);
  // The first look comes before anything was read or written again.
  const flows = (s: number) => (s === 20 ? 19 : s) * 1000;
  const waits = (s: number) => ({ atMs: stop(s), received: flows(s), given: flows(s), waiting: 3000 });
  expect(follow(60, waits).verdict).toBe('flows');
  const stalls = (s: number) => ({ atMs: stop(s), waiting: s < 19 ? 0 : (s - 19) * 1000 });
  expect(follow(60, stalls)).toEqual({ verdict: 'target_stalled', after: 24 });
});

test('a server that said what it read, and then says nothing more, has stalled although its machine takes bytes', () => {
  const rate = 300_000;
  const flows = (s: number) => ({ received: s * rate, given: s * rate });
  expect(follow(60, (s) => ({ ...flows(s), acknowledged: s * rate - 20_000 })).verdict).toBe('flows');
  const stalled = follow(60, (s) => ({ ...flows(s), acknowledged: Math.min(s, 10) * rate }));
  expect(stalled.verdict).toBe('target_stalled');
  expect(stalled.after).toBeLessThanOrEqual(17);
});

test('a server that says what it read when it likes is not taken for a stalled one', () => {
  const rate = 300_000;
  const rarely = (s: number) => Math.floor((s * rate) / 5_000_000) * 5_000_000 || undefined;
  expect(follow(600, (s) => ({ received: s * rate, given: s * rate, acknowledged: rarely(s) })).verdict).toBe('flows');
});

test('acknowledgements that are not due yet are not missed: little sound says little', () => {
  expect(follow(60, () => ({ acknowledged: 0, given: 30_000 })).verdict).toBe('flows');
});

test('a node that sends nothing for eight seconds is told apart from a target that reads nothing', () => {
  const silent = follow(60, (s) => ({ received: Math.min(s, 10), given: Math.min(s, 10) }));
  expect(silent).toEqual({ verdict: 'source_silent', after: 18 });
});

test('a target that reads, but slower than the room sends, is given up before memory is', () => {
  const slow = follow(600, (s) => ({ received: s * 300_000, given: s * 300_000, waiting: s * 200_000 }));
  expect(slow).toEqual({ verdict: 'target_too_slow', after: 42 });
});

test("the kernel's queues are read as Linux writes them", () => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
  12: 0100007F:C350 0100007F:078F 01 0001A2B3:00000000 01:00000014 00000000     0        0 2 1 0 20 4 30 10 -1`;
  expect(parseSendQueues(text).get('50000:1935')).toBe(0x1a2b3);
});
