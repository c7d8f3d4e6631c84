/** What an error says to do fits what happened, and not only its code. */
import { nameTaken, SwitchyardError } from '../../src/errors';
import { problemOf } from '../../src/http/problem';

test('a name that is taken, and a conflict of another kind, have words of their own', () => {
  const taken = problemOf(nameTaken('room', 'daily'), 'r');
  expect(taken).toMatchObject({
    code: 'conflict',
    detail: 'There is a room "daily" already.',
    fix: 'Choose another name, or use the room that is there.',
  });
  const other = problemOf(new SwitchyardError('conflict', 'It is recorded already.'), 'r');
  expect(other.fix).toBe('Read the resource again, then decide.');
});
