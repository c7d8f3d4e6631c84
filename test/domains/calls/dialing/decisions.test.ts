/** What is done with a call nobody has answered: each case by itself, with the clock as an argument. */
import type { AttemptRow } from '../../../../src/domains/calls/calls.store';
import { decideQueued, decideUnanswered, type UnansweredCall } from '../../../../src/domains/calls/dialing/decisions';

const NOW = 1_000_000;
const queued = { state: 'queued' as const, hangup_requested_at: null, place_before: new Date(NOW + 1000) };
const ended = (cause: string) => ({ hangup_cause: cause, ended_at: new Date(NOW) }) as AttemptRow;

describe('a call whose turn has come', () => {
  test('is placed', () => {
    expect(decideQueued(queued, undefined, NOW)).toEqual({ do: 'place' });
    expect(decideQueued(queued, ended('SWITCH_CONGESTION'), NOW)).toEqual({ do: 'place' });
  });
  test('is left alone where it waits no more', () => {
    for (const state of ['placing', 'ringing', 'answered', 'ended'] as const) {
      expect(decideQueued({ ...queued, state }, undefined, NOW)).toEqual({ do: 'leave' });
    }
    expect(decideQueued(undefined, undefined, NOW)).toEqual({ do: 'leave' });
  });
  test('ends where somebody hung up, or its time is over', () => {
    const hungUp = { ...queued, hangup_requested_at: new Date(NOW) };
    expect(decideQueued(hungUp, undefined, NOW)).toEqual({ do: 'end', outcome: 'cancelled' });
    expect(decideQueued(queued, undefined, NOW + 1001)).toEqual({ do: 'end', outcome: 'no_capacity' });
  });
  test('is not rung again before what a dead node left ringing is silent', () => {
    const last = ended('NODE_DIED');
    expect(decideQueued(queued, last, NOW)).toEqual({ do: 'silence', attempt: last });
  });
});

const placing: UnansweredCall = {
  state: 'placing',
  placedMs: NOW,
  hangupRequestedMs: undefined,
  node: 'up',
  awayMs: undefined,
  says: undefined,
  goneMs: undefined,
};
const ringing: UnansweredCall = { ...placing, state: 'ringing' };

describe('a call that is placed or rings', () => {
  test('is waited for: its node tells what becomes of it', () => {
    expect(decideUnanswered(placing, NOW + 5000)).toEqual({ do: 'wait' });
    expect(decideUnanswered(ringing, NOW + 600_000)).toEqual({ do: 'wait' });
  });
  test('is asked for where nothing has rung for a while, and lost where its node has not known it for longer', () => {
    expect(decideUnanswered(placing, NOW + 5001)).toEqual({ do: 'ask' });
    const there: UnansweredCall = { ...placing, says: 'there' };
    expect(decideUnanswered(there, NOW + 60_000)).toEqual({ do: 'wait' });
    expect(decideUnanswered({ ...placing, says: 'unknown' }, NOW + 60_000)).toEqual({ do: 'wait' });
    const gone: UnansweredCall = { ...placing, says: 'gone', goneMs: NOW + 6000 };
    expect(decideUnanswered(gone, NOW + 9000)).toEqual({ do: 'wait' });
    expect(decideUnanswered(gone, NOW + 9001)).toEqual({ do: 'settle', cause: 'NODE_UNKNOWN' });
  });
  test('ends at once where its node is gone for sure', () => {
    for (const node of ['refused', 'left'] as const) {
      expect(decideUnanswered({ ...ringing, node }, NOW)).toEqual({ do: 'settle', cause: 'NODE_DIED' });
    }
  });
  test('is given up after a while where its node only can not be asked, and never tried elsewhere', () => {
    const away: UnansweredCall = { ...ringing, node: 'away', awayMs: NOW + 1000 };
    expect(decideUnanswered(away, NOW + 21_000)).toEqual({ do: 'wait' });
    expect(decideUnanswered(away, NOW + 21_001)).toEqual({ do: 'settle', cause: 'NODE_UNKNOWN' });
    // A node that was away long before has not had this call for so long.
    expect(decideUnanswered({ ...away, awayMs: NOW - 60_000 }, NOW + 20_000)).toEqual({ do: 'wait' });
  });
  test('is ended again where somebody hung up and it goes on', () => {
    const unwanted: UnansweredCall = { ...ringing, hangupRequestedMs: NOW };
    expect(decideUnanswered(unwanted, NOW + 1500)).toEqual({ do: 'wait' });
    expect(decideUnanswered(unwanted, NOW + 1501)).toEqual({ do: 'hang up' });
    expect(decideUnanswered({ ...unwanted, state: 'placing', says: 'there' }, NOW + 6000)).toEqual({ do: 'hang up' });
  });
});
