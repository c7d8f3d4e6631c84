/** A batch that fails is halved until what can't be done stands alone. */
import * as fc from 'fast-check';
import { runInHalves } from '../../../src/infra/flow/in-halves';

test('whatever can be done is done, once and in its order; what can not is set aside', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 40 }), async (goods) => {
      const items = goods.map((isGood, at) => ({ isGood, at }));
      const [done, aside]: [number[], number[]] = [[], []];
      await runInHalves(
        items,
        (some) => {
          if (some.some(({ isGood }) => !isGood)) return Promise.reject(new Error('bad'));
          done.push(...some.map(({ at }) => at));
          return Promise.resolve();
        },
        ({ at }) => void aside.push(at),
      );
      expect(done).toEqual(items.filter(({ isGood }) => isGood).map(({ at }) => at));
      expect(aside).toEqual(items.filter(({ isGood }) => !isGood).map(({ at }) => at));
    }),
  );
});

test('where the database is away nothing is set aside, and whoever gave the batch is told', async () => {
  const away = Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
  const aside: number[] = [];
  const run = (): Promise<void> => Promise.reject(away);
  await expect(runInHalves([1, 2], run, (item) => void aside.push(item))).rejects.toBe(away);
  expect(aside).toEqual([]);
});
