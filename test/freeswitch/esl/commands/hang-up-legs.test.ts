/** Legs are ended in their order, at their nodes, and it is said whether they were there. */
import { hangupLegs, type ApiCommand, type Reply } from '../../../../src/freeswitch/esl';

const LEGS = [
  { nodeId: 'n1', legId: '0190a5a0-0000-7000-8000-000000000001' },
  { nodeId: 'n2', legId: '0190a5a0-0000-7000-8000-000000000002' },
];

function nodes(answer: (nodeId: string) => Reply) {
  const asked: string[] = [];
  const api = (nodeId: string, command: ApiCommand): Promise<Reply> => {
    asked.push(`${nodeId} ${command.line}`);
    return Promise.resolve().then(() => answer(nodeId));
  };
  return { links: { api }, asked };
}
const ok: Reply = { ok: true, text: '' };
const none: Reply = { ok: false, cause: 'No', text: 'No such channel!' };

test('each leg is ended at its own node, with the cause', async () => {
  const { links, asked } = nodes(() => ok);
  expect(await hangupLegs({ links }, LEGS, 'USER_BUSY')).toBe(true);
  expect(asked).toEqual(LEGS.map(({ nodeId, legId }) => `${nodeId} uuid_kill ${legId} USER_BUSY`));
});

test('a leg that is not there is told of, and the next one is ended all the same', async () => {
  const { links, asked } = nodes((nodeId) => (nodeId === 'n1' ? none : ok));
  expect(await hangupLegs({ links }, LEGS, 'USER_BUSY')).toBe(false);
  expect(asked).toHaveLength(2);
});

test('a node that can not be told is an error of the caller', async () => {
  const { links } = nodes(() => {
    throw new Error('unavailable');
  });
  await expect(hangupLegs({ links }, LEGS, 'USER_BUSY')).rejects.toThrow('unavailable');
});

test('a cause that is no word never reaches a node', async () => {
  const { links, asked } = nodes(() => ok);
  await expect(hangupLegs({ links }, LEGS, 'BUSY\nexit')).rejects.toThrow();
  expect(asked).toEqual([]);
});
