/** What an error says to do fits what happened, and not only its code. */
import { nameTaken, SwitchyardError } from '../../src/errors';
import { problemOf } from '../../src/http/problem';

test('a name that is taken, and a conflict of another kind, have words of their own', () => {
  const taken = problemOf(nameTaken('room', 'daily'), 'r');
  expect(taken).toMatchObject({
    code: 'conflict',
    detail: 'A room named "daily" already exists.',
    fix: 'Use another name, or the existing room.',
  });
  const other = problemOf(new SwitchyardError('conflict', 'It is already being recorded.'), 'r');
  expect(other.fix).toBe('See "detail": read the resource, then send a request that fits its state.');
});

test('without a list of fields, nobody is sent to "errors"', () => {
  const bare = problemOf(new SwitchyardError('invalid_request', '"since" is 99, but the last event is 7.'), 'r');
  expect(bare.fix).toBe('Fix what "detail" names, then send it again.');
  const named = problemOf(
    new SwitchyardError('invalid_request', 'In the body: name: is required', {
      errors: [{ path: 'name', message: 'is required' }],
    }),
    'r',
  );
  expect(named.fix).toBe('Correct the fields named in "errors".');
});
