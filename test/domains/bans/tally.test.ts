import { createTally, type Tally } from '../../../src/domains/bans/tally';
import { createLogger } from '../../../src/infra/logger';
import { createRedis, type Redis } from '../../../src/infra/stores/redis';
import { useStores } from '../../stores';
import { until } from '../../until';

const stores = useStores();
const logger = createLogger('silent');
let redis: Redis;
let nowMs = 1_000_000;
const tallies: Record<string, Tally> = {};
beforeAll(async () => {
  redis = createRedis(stores.redisUrl, logger);
  await redis.connect();
  const away = createRedis(stores.redisUrl, logger);
  away.disconnect();
  tallies['in Redis'] = createTally(redis, stores.redisPrefix, () => nowMs);
  tallies['while Redis is away'] = createTally(away, stores.redisPrefix, () => nowMs);
});
afterAll(() => redis.disconnect());

describe.each(['in Redis', 'while Redis is away'])('counting %s', (where) => {
  const tally = (): Tally => tallies[where]!;

  test('counts each failure once, each key by itself', async () => {
    const mark = (key: string, member: string) => ({ key, member });
    expect(await tally().count([mark('a', '1'), mark('b', '1')], 60_000)).toEqual([1, 1]);
    expect(await tally().count([mark('a', '1')], 60_000)).toEqual([1]);
    expect(await tally().count([mark('a', '2'), mark('b', '1')], 60_000)).toEqual([2, 1]);
    await tally().forget(['a']);
    expect(await tally().count([mark('a', '3')], 60_000)).toEqual([1]);
  });

  test('forgets what is older than the window', async () => {
    const mark = { key: 'window', member: 'x' };
    await tally().count([mark], 30);
    await until('it is forgotten', async () => {
      nowMs += 50;
      return (await tally().list('window', 30)).length === 0;
    });
    expect(await tally().count([{ key: 'window', member: 'y' }], 30)).toEqual([1]);
  });

  test('says who is among the members, the newest first', async () => {
    await tally().note({ key: 'good', member: 'ann' }, 60_000);
    await tally().note({ key: 'good', member: 'ben' }, 60_000);
    expect(await tally().check('good', 'ann', 60_000)).toEqual({ size: 2, has: true });
    expect(await tally().check('good', 'eve', 60_000)).toEqual({ size: 2, has: false });
    expect((await tally().list('good', 60_000)).sort()).toEqual(['ann', 'ben']);
  });

  test('keeps a bounded number of members, whoever floods it', async () => {
    const sizes = [];
    for (let i = 0; i < 700; i += 1) sizes.push(await tally().count([{ key: 'flood', member: String(i) }], 60_000));
    expect(Math.max(...sizes.flat())).toBeLessThanOrEqual(601);
  });
});
