/** Changes take turns at the database: a burst in one domain waits in line, and not with every connection in its hand. */
import { createEventLog } from '../../../src/domains/events/events';
import { createDb, isUnreachable } from '../../../src/infra/stores/db';
import { createConcurrencyLimit, ConcurrencyTimeout } from '../../../src/infra/flow/concurrency-limit';
import { createLogger } from '../../../src/infra/logger';
import { useStores } from '../../stores';

const stores = useStores();

test('who reads is answered while twenty changes of one domain wait for each other', async () => {
  const db = createDb(stores.databaseUrl, 4, { connectMs: 500, statementMs: 20_000, idleInTransactionMs: 20_000 });
  const log = createEventLog(db, { ring: () => undefined }, createLogger('silent'), createConcurrencyLimit(2, 20_000));
  const holder = await stores.db.transaction();
  try {
    await holder.raw('select pg_advisory_xact_lock(77)');
    const changes = Array.from({ length: 20 }, () => log.record((trx) => trx.raw('select pg_advisory_xact_lock(77)')));
    const ends = Promise.all(changes);
    ends.catch(() => undefined);
    for (let look = 0; look < 5; look += 1)
      expect((await db.raw<{ rows: unknown[] }>('select 1')).rows).toHaveLength(1);
    await holder.commit();
    expect(await ends).toHaveLength(20);
  } finally {
    await holder.rollback().catch(() => undefined);
    await db.destroy();
  }
});

test('work whose turn does not come in time is told so as of a database out of reach, and those behind it have theirs', async () => {
  const concurrencyLimit = createConcurrencyLimit(1, 50);
  let finish!: () => void;
  const first = concurrencyLimit.run(() => new Promise<void>((resolve) => (finish = resolve)));
  const late = await concurrencyLimit.run(() => Promise.resolve('begun')).catch((error: unknown) => error);
  expect(late).toBeInstanceOf(ConcurrencyTimeout);
  expect(isUnreachable(late)).toBe(true);
  const behind = concurrencyLimit.run(() => Promise.resolve('begun'));
  finish();
  await first;
  expect(await behind).toBe('begun');
  expect(await concurrencyLimit.run(() => Promise.resolve('again'))).toBe('again');
});
