/** The simulator reads dial strings as FreeSWITCH does: what we escape must come out as it went in. */
import { originateCall } from '../../src/freeswitch/esl';
import { parseDialString, splitWords } from '../../scripts/simulator/channels/dial-string';

test.each(['plain', `it's a "name", with = and \\ back`, 'a b  c', "''", 'Zoë 😀'])('%s survives originate', (name) => {
  const { line } = originateCall({
    legId: 'leg',
    endpoint: 'user/1001@clinic.test',
    variables: { name, after: 'still here' },
    ringTimeoutSeconds: 5,
    destination: { extension: '1002', dialplan: 'XML', context: 'users' },
  });
  const [dialString = '', ...rest] = splitWords(line.slice('originate '.length));
  expect(rest).toEqual(['1002', 'XML', 'users']);
  const parsed = parseDialString(dialString);
  expect(parsed?.variables).toMatchObject({ name, after: 'still here', origination_uuid: 'leg' });
  expect(parsed?.sequence).toEqual([[{ endpoint: 'user/1001@clinic.test', variables: {} }]]);
});

test('forks, sequences and variables of one branch', () => {
  expect(parseDialString('{a=1}[b=2,c=3]sofia/internal/sip:x@h,error/user_busy|user/u@d')).toEqual({
    variables: { a: '1' },
    sequence: [
      [
        { endpoint: 'sofia/internal/sip:x@h', variables: { b: '2', c: '3' } },
        { endpoint: 'error/user_busy', variables: {} },
      ],
      [{ endpoint: 'user/u@d', variables: {} }],
    ],
  });
  expect(parseDialString('{never closed')).toBeUndefined();
});
