import { createEventLog } from '../../../src/domains/events/events';
import { createLogger } from '../../../src/infra/logger';
import { useStores } from '../../stores';

const stores = useStores();

test('two changes that wait for each other are both made, and each tells its event once', async () => {
  const { db } = stores;
  await db.schema.createTable('deadlock', (t) => {
    t.integer('id').primary();
    t.integer('changes').notNullable().defaultTo(0);
  });
  await db('deadlock').insert([{ id: 1 }, { id: 2 }]);
  const rung: string[] = [];
  const log = createEventLog(
    db,
    { ring: (events) => rung.push(...events.map(({ type }) => type)) },
    createLogger('silent'),
  );
  const holds = [0, 0];
  const change = (who: 0 | 1, first: number, second: number): Promise<void> =>
    log.record(async (trx, emit) => {
      await trx('deadlock').where({ id: first }).increment('changes', 1);
      holds[who]! += 1;
      // Only at the first try: the one that is run anew finds the other gone.
      while (holds[who] === 1 && holds[1 - who]! < 1) await new Promise((done) => setTimeout(done, 5));
      await trx('deadlock').where({ id: second }).increment('changes', 1);
      emit({ stream: 'system', type: `changed.${who}`, data: {} });
    });
  await Promise.all([change(0, 1, 2), change(1, 2, 1)]);
  expect(await db('deadlock').select('id', 'changes').orderBy('id')).toEqual([
    { id: 1, changes: 2 },
    { id: 2, changes: 2 },
  ]);
  expect(rung.sort()).toEqual(['changed.0', 'changed.1']);
  expect(holds.reduce((sum, n) => sum + n)).toBeGreaterThan(2); // one was run anew
});
