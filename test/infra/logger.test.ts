/** A fault is logged with what broke and where, and without what whoever broke was working with. */
import { createDb } from '../../src/infra/stores/db';
import { createLogger } from '../../src/infra/logger';
import { createRedis } from '../../src/infra/stores/redis';
import { PATIENCE, useStores } from '../stores';

const stores = useStores();
const lines: string[] = [];
const logger = createLogger('trace', { write: (line: string) => void lines.push(line) });
beforeEach(() => void (lines.length = 0));
const last = () => JSON.parse(lines.at(-1)!);

test('a query that fails is logged without its values and without the row', async () => {
  const db = createDb(stores.databaseUrl, 1, PATIENCE);
  const row = { id: '0190c1de-0000-7000-8000-000000000001', name: 'a-secret-name', display_name: 'b-secret-name' };
  await db('domains').insert(row);
  for (const wrong of [row, { ...row, id: null }, { ...row, nothing: 'c-secret-name' }]) {
    const fault = await db('domains')
      .insert(wrong)
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    logger.error({ err: fault }, 'a request failed');
    expect(last().err).toMatchObject({
      message: expect.stringContaining('insert into "domains"'),
      code: expect.any(String),
    });
    expect(last().err.stack).toContain(' at ');
  }
  logger.error({
    err: await db('domains')
      .insert(row)
      .catch((error: unknown) => error),
  });
  expect(last().err).toMatchObject({ code: '23505', constraint: 'domains_pkey', table: 'domains' });
  await db.destroy();
  for (const secret of ['a-secret-name', 'b-secret-name', 'c-secret-name'])
    expect(lines.join('')).not.toContain(secret);
});

test("a command that Redis refuses is logged without its arguments: an AUTH's is the password", async () => {
  const redis = createRedis(stores.redisUrl, logger);
  await redis.connect();
  const fault = await redis.call('AUTH', 'the-password-of-redis').catch((error: unknown) => error);
  expect(JSON.stringify(fault)).toContain('the-password-of-redis'); // so ioredis tells it
  logger.warn({ err: fault }, 'redis refuses');
  redis.disconnect();
  expect(last().err).toMatchObject({ type: 'ReplyError', message: expect.stringMatching(/AUTH|WRONGPASS/) });
  expect(lines.join('')).not.toContain('the-password-of-redis');
});

test('causes are told, some of them, and the faults of an address tried twice', () => {
  let fault = new Error('0');
  for (let i = 1; i < 10; i += 1) fault = new Error(String(i), { cause: fault });
  logger.error({ err: fault });
  expect(last().err).toMatchObject({
    message: '9',
    cause: { message: '8', cause: { message: '7', cause: { message: '6' } } },
  });
  expect(last().err.cause.cause.cause.cause).toBeUndefined();
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' });
  logger.error({ err: new AggregateError([refused, refused], 'all failed') });
  expect(last().err.errors[0]).toMatchObject({ code: 'ECONNREFUSED', syscall: 'connect' });
  logger.error({ err: 'only a text' });
  expect(last().err).toBe('only a text');
});
