/** Holds what a hangup cause means, and when another node may try. */
import { judgeFailure } from '../../../../src/domains/calls/dialing/who-failed';
import { decideAfterAttempt, outcomeOfCause, type AttemptEnd } from '../../../../src/domains/calls/events/outcome';

const end: AttemptEnd = {
  failed: 'node',
  cause: 'NORMAL_CLEARING',
  answered: false,
  rang: false,
  origin: 'api',
  attempts: 1,
  hangupRequested: false,
  nowMs: 0,
  placeBeforeMs: 10_000,
};

test.each([
  ['USER_BUSY', 'busy'],
  ['NO_ANSWER', 'no_answer'],
  ['CALL_REJECTED', 'rejected'],
  ['USER_NOT_REGISTERED', 'unreachable'],
  ['ORIGINATOR_CANCEL', 'cancelled'],
  ['INCOMPATIBLE_DESTINATION', 'failed'],
] as const)('a call that ends with %s before an answer is %s', (cause, outcome) => {
  expect(outcomeOfCause(cause)).toBe(outcome);
  expect(decideAfterAttempt({ ...end, cause })).toEqual({ next: 'end', outcome });
});

test('a call that was answered ends answered, whatever the cause', () => {
  const decision = decideAfterAttempt({ ...end, answered: true, cause: 'USER_BUSY' });
  expect(decision).toEqual({ next: 'end', outcome: 'answered' });
});

test.each([
  [{ cause: 'MEDIA_TIMEOUT' }, 'connection_lost'],
  [{ cause: 'RECOVERY_ON_TIMER_EXPIRE' }, 'connection_lost'],
  [{ cause: 'NORMAL_CLEARING', partnerCause: 'MEDIA_TIMEOUT' }, 'connection_lost'],
  [{ cause: 'MEDIA_TIMEOUT', hangupRequested: true }, 'answered'],
  [{ cause: 'ALLOTTED_TIMEOUT', hangupRequested: true, hangupReason: 'hold_limit' as const }, 'hold_limit'],
  [{ cause: 'ALLOTTED_TIMEOUT', hangupRequested: true }, 'answered'],
])('a talk that ended with %j was %s', (more, outcome) => {
  expect(decideAfterAttempt({ ...end, answered: true, ...more })).toEqual({ next: 'end', outcome });
});

test('an answered call whose node died is lost', () => {
  expect(decideAfterAttempt({ ...end, answered: true, cause: 'NODE_DIED' })).toEqual({ next: 'end', outcome: 'lost' });
});

test('a node that refuses before anything rang is followed by another', () => {
  expect(decideAfterAttempt({ ...end, cause: 'NORMAL_TEMPORARY_FAILURE' })).toEqual({ next: 'retry' });
});

test("a phone's failure is no node's: it is not tried elsewhere, and nobody was reached", () => {
  for (const cause of [
    'NORMAL_TEMPORARY_FAILURE',
    'NETWORK_OUT_OF_ORDER',
    'REQUESTED_CHAN_UNAVAIL',
    'SWITCH_CONGESTION',
  ])
    expect(decideAfterAttempt({ ...end, failed: 'phone', cause })).toEqual({ next: 'end', outcome: 'unreachable' });
  expect(decideAfterAttempt({ ...end, failed: 'phone', cause: 'NODE_DIED' })).toEqual({ next: 'retry' });
  const busy = decideAfterAttempt({ ...end, failed: 'phone', cause: 'USER_BUSY' });
  expect(busy).toEqual({ next: 'end', outcome: 'busy' });
});

describe('who has failed', () => {
  const rung = { cause: 'NORMAL_TEMPORARY_FAILURE', isUnderWay: false, nodeId: 'n1', phonesAt: ['n1'], legsAt: ['n1'] };
  test.each([
    ['the phone, where the node that has it has rung it', {}, 'phone'],
    ['the phone, where its node has taken the call over', { phonesAt: ['n2'], legsAt: ['n1', 'n2'] }, 'phone'],
    ['a node, where the one that has the phone has not', { phonesAt: ['n2'] }, 'node'],
    ['a node, where one of two did not take it', { phonesAt: ['n1', 'n2'] }, 'node'],
    ['the callee, where the caller rings already or has dialled', { phonesAt: [], isUnderWay: true }, 'phone'],
    ['the node, by a word that no SIP answer makes', { cause: 'SWITCH_CONGESTION' }, 'node'],
    ['the node, where nobody knows of a phone', { phonesAt: [] }, 'node'],
  ] as const)('%s', (_who, change, failed) => {
    expect(judgeFailure({ ...rung, ...change })).toBe(failed);
  });
});

test('a refusal after it rang is not tried again: somebody has said something', () => {
  const decision = decideAfterAttempt({ ...end, rang: true, cause: 'NORMAL_TEMPORARY_FAILURE' });
  expect(decision).toEqual({ next: 'end', outcome: 'failed' });
});

test('a node that died while it rang is followed by another', () => {
  expect(decideAfterAttempt({ ...end, rang: true, cause: 'NODE_DIED' })).toEqual({ next: 'retry' });
});

test('a call whose outcome is unknown is lost and never dialled again', () => {
  expect(decideAfterAttempt({ ...end, cause: 'NODE_UNKNOWN' })).toEqual({ next: 'end', outcome: 'lost' });
});

test('after three attempts it is over', () => {
  expect(decideAfterAttempt({ ...end, attempts: 3, cause: 'NODE_DIED' })).toEqual({ next: 'end', outcome: 'lost' });
});

test("a phone's own call is not placed anew, and a call that was hung up neither", () => {
  expect(decideAfterAttempt({ ...end, origin: 'phone', cause: 'NODE_DIED' }).next).toBe('end');
  const cancelled = decideAfterAttempt({ ...end, hangupRequested: true, cause: 'NODE_DIED' });
  expect(cancelled).toEqual({ next: 'end', outcome: 'cancelled' });
});
