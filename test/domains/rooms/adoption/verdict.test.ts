/** A comparison never ends talk in a room; what is ended was asked for, runs elsewhere, was let in by nobody, or is alone. */
import {
  ALONE_LIMIT_MS,
  judgeMember,
  judgeRoom,
  type RunRoom,
  type Stranger,
} from '../../../../src/domains/rooms/adoption/verdict';

const over = (endReason: NonNullable<RunRoom['session']>['endReason']) => ({
  isOver: true,
  isOfThisNode: true,
  endReason,
});
const room: RunRoom = { isDeleted: false, livesElsewhere: false };

test('a room that its node may run runs on', () => {
  expect(judgeRoom({ ...room, session: { isOver: false, isOfThisNode: true, endReason: null } })).toBe('runs');
});

test('a living session of another node, or one that moved and lives elsewhere, is a twin', () => {
  const other = { isOver: false, isOfThisNode: false, endReason: null };
  expect(judgeRoom({ ...room, session: other })).toEqual({ end: 'twin' });
  for (const reason of ['moved', 'node_died', 'superseded'] as const) {
    expect(judgeRoom({ ...room, session: over(reason), livesElsewhere: true })).toEqual({ end: 'twin' });
    expect(judgeRoom({ ...room, session: over(reason) })).toBe('adopt');
  }
});

test('a room that was closed or deleted is ended, whatever else is known', () => {
  expect(judgeRoom({ ...room, isDeleted: true })).toEqual({ end: 'asked' });
  for (const reason of ['closed', 'moderator_left'] as const)
    expect(judgeRoom({ ...room, session: over(reason) })).toEqual({ end: 'asked' });
});

test('a room whose end nobody asked for, or of which there is no row, is not ended', () => {
  for (const reason of ['empty', 'lost', 'never_entered'] as const)
    for (const livesElsewhere of [true, false])
      expect(judgeRoom({ ...room, session: over(reason), livesElsewhere })).toBe('adopt');
  expect(judgeRoom({ ...room, livesElsewhere: true })).toBe('adopt');
});

const choices = [true, false];
const strangers: Stranger[] = choices.flatMap((isUnadmitted) =>
  choices.flatMap((isAskedOut) =>
    choices.flatMap((isProven) =>
      choices.flatMap((talks) =>
        [0, ALONE_LIMIT_MS].flatMap((aloneMs) =>
          (['living', 'over', 'unknown'] as const).map((session) => ({
            ...{ isUnadmitted, isAskedOut, isProven, talks, aloneMs, session },
          })),
        ),
      ),
    ),
  ),
);

test('of all there can be, nobody who talks is ended but who was asked out or let in by nobody', () => {
  for (const one of strangers) {
    const verdict = judgeMember(one);
    const mayEnd = one.isUnadmitted || one.isAskedOut || (!one.talks && one.aloneMs >= ALONE_LIMIT_MS);
    if (verdict.do === 'end') expect([one, mayEnd]).toEqual([one, true]);
    if (one.isUnadmitted || one.isAskedOut) expect(verdict.do).toBe('end');
    if (verdict.do === 'adopt') expect(one.isProven).toBe(true);
  }
});

test('who talks is adopted with a proof, and told without', () => {
  const one: Stranger = {
    ...{ isUnadmitted: false, isAskedOut: false, isProven: true, talks: true, aloneMs: 0, session: 'unknown' },
  };
  expect(judgeMember(one)).toEqual({ do: 'adopt' });
  expect(judgeMember({ ...one, isProven: false })).toEqual({ do: 'tell' });
  expect(judgeMember({ ...one, talks: false })).toEqual({ do: 'adopt' });
  expect(judgeMember({ ...one, talks: false, session: 'over' })).toEqual({ do: 'leave' });
  expect(judgeMember({ ...one, talks: false, isProven: false })).toEqual({ do: 'leave' });
  expect(judgeMember({ ...one, talks: false, isProven: false, aloneMs: ALONE_LIMIT_MS })).toEqual({
    do: 'end',
    why: 'alone',
  });
});
