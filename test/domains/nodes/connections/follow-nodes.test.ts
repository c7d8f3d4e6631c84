/** What is kept for each node follows the table of nodes, whatever one of them does. */
import { randomBytes } from 'node:crypto';
import { followNodes } from '../../../../src/domains/nodes/connections/node-connections';
import { sealNodePassword } from '../../../../src/domains/nodes/entering/node-password';
import { createId } from '../../../../src/infra/ids';
import { createLogger } from '../../../../src/infra/logger';
import { useStores } from '../../../stores';
import { until } from '../../../until';

const stores = useStores();
const secretKey = randomBytes(32);

test('one whose end hangs keeps neither itself nor another from a new connection', async () => {
  const { db } = stores;
  const [hangs, other] = [createId(), createId()];
  for (const [id, name] of [
    [hangs, 'hangs'],
    [other, 'other'],
  ] as const)
    await db('nodes').insert({
      ...{ id, name, host: '127.0.0.1', state: 'serving', esl_port: 1, sip_port: 2, internode_port: 3 },
      ...{
        ws_port: 4,
        capacity_units: 100,
        secret_hash: 'x',
        esl_password_sealed: sealNodePassword(secretKey, id, 'p'),
      },
    });
  const opened: string[] = [];
  const follower = followNodes({ db, secretKey, logger: createLogger('silent') }, (node) => {
    const isFirst = !opened.some((one) => one.startsWith(node.name));
    opened.push(`${node.name} at ${node.host}`);
    return { stop: () => (node.name === 'hangs' && isFirst ? new Promise(() => undefined) : Promise.resolve()) };
  });
  await until('both are followed', () => opened.length === 2);
  await db('nodes').update({ host: '127.0.0.2' });
  await until('both are connected to at their new place', () => opened.length === 4);
  expect(opened.slice(2).sort()).toEqual(['hangs at 127.0.0.2', 'other at 127.0.0.2']);
  await follower.stop();
});
