/** A comparison never ends a conversation; what is ended was asked for, let in by nobody, or hears nobody for a while. */
import {
  ALONE_LIMIT_MS,
  judgeUnaccounted,
  PLANLESS_LIMIT_MS,
  type Unaccounted,
} from '../../../../src/domains/calls/adoption/verdict';

const CALLS = ['live', 'over', 'asked', 'unwritten', 'unknown', 'none'] as const;
const talking: Unaccounted = {
  ...{ isEnding: false, isUnadmitted: false, talks: true, aloneMs: 0, isProven: true, isInOurContext: true },
  call: 'unknown',
};
const choices = [true, false];

test('of all there can be, nobody who talks is ended but by request, or where nobody let them in', () => {
  for (const call of CALLS)
    for (const isUnadmitted of choices)
      for (const isProven of choices)
        for (const isInOurContext of choices)
          for (const isEnding of choices) {
            const channel = { ...talking, call, isUnadmitted, isProven, isInOurContext, isEnding };
            const verdict = judgeUnaccounted({ ...channel, aloneMs: PLANLESS_LIMIT_MS });
            if (verdict.do === 'end')
              expect([channel, ['asked', 'unadmitted']]).toEqual([channel, expect.arrayContaining([verdict.why])]);
            if (verdict.do === 'adopt') expect(isProven).toBe(true);
            if (isEnding) expect(verdict.do).toBe('leave');
          }
});

test('who talks is adopted with a proof, and told without', () => {
  for (const call of ['over', 'unknown'] as const) {
    expect(judgeUnaccounted({ ...talking, call })).toEqual({ do: 'adopt' });
    expect(judgeUnaccounted({ ...talking, call, isProven: false })).toEqual({ do: 'tell' });
  }
  expect(judgeUnaccounted({ ...talking, call: 'none', isProven: false })).toEqual({ do: 'tell' });
  expect(judgeUnaccounted({ ...talking, call: 'live' })).toEqual({ do: 'take in' });
});

test('what somebody asked to end, and what nobody let in, is ended at once', () => {
  expect(judgeUnaccounted({ ...talking, call: 'asked' })).toEqual({ do: 'end', why: 'asked' });
  expect(judgeUnaccounted({ ...talking, call: 'none', isUnadmitted: true })).toEqual({ do: 'end', why: 'unadmitted' });
});

test('a single leg is ended after a while, later where it names no call, and never in a context that is not ours', () => {
  const alone = { ...talking, talks: false, isProven: false };
  expect(judgeUnaccounted({ ...alone, aloneMs: ALONE_LIMIT_MS - 1 })).toEqual({ do: 'leave' });
  expect(judgeUnaccounted({ ...alone, aloneMs: ALONE_LIMIT_MS })).toEqual({ do: 'end', why: 'alone' });
  const nameless = { ...alone, call: 'none' as const };
  expect(judgeUnaccounted({ ...nameless, aloneMs: PLANLESS_LIMIT_MS - 1 })).toEqual({ do: 'leave' });
  expect(judgeUnaccounted({ ...nameless, aloneMs: PLANLESS_LIMIT_MS })).toEqual({ do: 'end', why: 'planless' });
  const byHand = { ...nameless, isInOurContext: false, aloneMs: PLANLESS_LIMIT_MS };
  expect(judgeUnaccounted(byHand)).toEqual({ do: 'leave' });
});
