/** Work that runs in turns, and work that many ask for and that is done once. */
import { createCoalesced, createTurns } from '../../../src/infra/flow/turns';

test('the work of one runs in its order, that of another beside it, and a fault stops nothing', async () => {
  const done: string[] = [];
  const faults: unknown[] = [];
  const turns = createTurns((error) => void faults.push(error));
  let open = (): void => undefined;
  turns.add('a', () => new Promise<void>((resolve) => (open = resolve)).then(() => void done.push('a1')));
  turns.add('a', () => Promise.reject(new Error('a2')));
  turns.add('a', () => Promise.resolve(void done.push('a3')));
  turns.add('b', () => Promise.resolve(void done.push('b1')));
  await new Promise((resolve) => setImmediate(resolve));
  expect(done).toEqual(['b1']);
  open();
  await turns.settled();
  expect(done).toEqual(['b1', 'a1', 'a3']);
  expect(faults).toHaveLength(1);
});

test('what is asked for in one go is done once, and again for who asks later', async () => {
  const done: string[] = [];
  const ask = createCoalesced((key) => Promise.resolve(void done.push(key)));
  await Promise.all([ask('a'), ask('b'), ask('a')]);
  expect(done).toEqual(['a', 'b']);
  await ask('a');
  expect(done).toEqual(['a', 'b', 'a']);
});
