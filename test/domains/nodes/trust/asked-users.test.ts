/** A node that collects digest hashes is told of; one whose phones all come back at once is not. */
import { createId } from '../../../../src/infra/ids';
import { createLogger } from '../../../../src/infra/logger';
import { createEventLog } from '../../../../src/domains/events/events';
import { isTooMany, watchAskedUsers } from '../../../../src/domains/nodes/trust/asked-users';
import { useStores } from '../../../stores';
import { until } from '../../../until';

const stores = useStores();

test.each([
  ['a few strangers', { users: 200, phones: 0, legs: 0 }, false],
  ['a whole pool’s worth of users, with no phone', { users: 201, phones: 0, legs: 0 }, true],
  ['all its phones after it was started again', { users: 5000, phones: 4900, legs: 10 }, false],
  ['guests who only dial', { users: 1000, phones: 0, legs: 900 }, false],
  ['a hundred phones, and everybody else', { users: 5000, phones: 100, legs: 40 }, true],
])('%s', (_what, has, expected) => expect(isTooMany(has)).toBe(expected));

test('it is said once for each window, by event and metric, with figures and no names', async () => {
  const { db } = stores;
  const id = createId();
  const ports = { esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 };
  await db('nodes').insert({
    id,
    name: 'one',
    secret_hash: '',
    esl_password_sealed: 'x',
    host: '192.0.2.1',
    state: 'serving',
    ...ports,
  });
  const lines: string[] = [];
  const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
  let counted = 0;
  const log = createEventLog(db, { ring: () => undefined }, logger);
  const watch = watchAskedUsers({ db, log, logger, count: () => (counted += 1), windowMs: 100 });
  for (let i = 0; i < 300; i += 1) watch.note({ id, name: 'one' }, `user-${i}`, 'clinic.test');
  for (let i = 0; i < 900; i += 1) watch.note({ id: createId(), name: 'two' }, 'user-1', 'clinic.test');
  const [event] = await until('it is said', async () => {
    const rows = await db('events').where({ type: 'node.suspicious' });
    return rows.length > 0 ? rows : undefined;
  });
  await watch.stop();
  expect(event).toMatchObject({ stream: 'pool', node_id: id, data: { name: 'one', users: 300, phones: 0, legs: 0 } });
  expect([counted, await db('events').where({ type: 'node.suspicious' })]).toEqual([1, [event]]);
  expect(lines.join('')).not.toContain('user-');
});
