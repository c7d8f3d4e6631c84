/** The ring of domains in Redis: one turn each, whatever one of them has waiting, and nothing is lost that Postgres knows. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createFairQueue,
  type FairQueue,
  type TakenCall,
  type WaitingCall,
} from '../../../../src/domains/calls/queue/fair-queue';
import { createId } from '../../../../src/infra/ids';
import { createLogger } from '../../../../src/infra/logger';
import { createRedis, type Redis } from '../../../../src/infra/stores/redis';
import { useStores } from '../../../stores';

let redis: Redis;
let queue: FairQueue;
/** What was signalled, by its delay. */
let signals: number[];
let prefix = '';
let round = 0;
afterAll(() => redis?.disconnect());
const stores = useStores();
beforeAll(async () => {
  redis = createRedis(stores.redisUrl, createLogger('silent'));
  await redis.connect();
});
beforeEach(() => {
  signals = [];
  prefix = `${stores.redisPrefix}-${(round += 1)}`;
  const told = { send: (delayMs = 0) => Promise.resolve(void signals.push(delayMs)) };
  queue = createFairQueue(redis, prefix, told, { takenMs: 400, fullMs: 300 });
});

let madeMs = 1_700_000_000_000;
/** The younger, the later it was made. */
const callOf = (domainId: string): WaitingCall => ({ domainId, callId: createId((madeMs += 1)) });
const add = async (domainId: string, count: number): Promise<WaitingCall[]> => {
  const calls = Array.from({ length: count }, () => callOf(domainId));
  for (const call of calls) await queue.add(call);
  return calls;
};
async function take(count: number): Promise<TakenCall[]> {
  const taken: TakenCall[] = [];
  for (let i = 0; i < count; i += 1) {
    const next = await queue.next();
    if (next) taken.push(next);
  }
  return taken;
}
const domains = (taken: TakenCall[]): string => taken.map(({ domainId }) => domainId).join(' ');

test('domains take turns, and a domain that comes late waits for one turn of each', async () => {
  await add('a', 100);
  await add('b', 2);
  expect(domains(await take(3))).toBe('a b a');
  await add('c', 3);
  expect(domains(await take(6))).toBe('b a c a c a');
});

test('the calls of a domain are dialled in the order in which they came, one that is tried again before the younger', async () => {
  const [first, second, third] = await add('a', 3);
  expect(await queue.next()).toMatchObject(first!);
  await queue.add(first!); // its node died
  expect((await take(3)).map(({ callId }) => callId)).toEqual([first!.callId, second!.callId, third!.callId]);
  expect(await queue.next()).toBeUndefined();
});

test('there is a signal as long as there is work, and not one for each call', async () => {
  await add('a', 50);
  expect(signals).toEqual([0]);
  await add('b', 1);
  expect(signals).toEqual([0, 0]);
  signals.length = 0;
  await take(51);
  expect(signals).toHaveLength(50); // whoever takes a turn signals while more is left
  await queue.next();
  expect(signals).toHaveLength(50);
});

test('a call that is added twice is dialled once', async () => {
  const [call] = await add('a', 1);
  await queue.add(call!);
  expect(await take(3)).toHaveLength(1);
});

test('a domain at its limit takes no turn until one of its calls rings no more, and its call keeps its place', async () => {
  const [first] = await add('a', 3);
  const taken = (await queue.next())!;
  await queue.suspendFull(taken);
  await add('a', 1);
  expect(await queue.next()).toBeUndefined();
  await add('b', 1);
  expect(domains(await take(2))).toBe('b');
  signals.length = 0;
  await queue.resumeDomain('a');
  expect(signals).toEqual([0]);
  expect(await queue.next()).toMatchObject(first!);
});

test('a domain at its limit is asked again after a while, since its limit may have been raised', async () => {
  await add('a', 1);
  await queue.suspendFull((await queue.next())!);
  await sleep(350);
  await queue.restore([]); // the sweep
  expect(domains(await take(1))).toBe('a');
});

test('a call that is over waits no more', async () => {
  const [first, second] = await add('a', 2);
  await queue.resumeDomain('a', first!.callId);
  expect((await take(2)).map(({ callId }) => callId)).toEqual([second!.callId]);
});

test('a domain without a node looks again after a while that grows, and its calls take turns', async () => {
  const [first, second] = await add('a', 2);
  const taken = (await queue.next())!;
  expect(taken).toMatchObject({ ...first, dryTries: 0 });
  signals.length = 0;
  await queue.suspendDry(taken, 60_000);
  expect(signals).toEqual([400]);
  expect(await queue.next()).toBeUndefined();
  await sleep(450);
  const again = (await queue.next())!;
  expect(again).toMatchObject({ ...second, dryTries: 1 });
  signals.length = 0;
  await queue.suspendDry(again, 60_000);
  expect(signals).toEqual([800]);
  await sleep(850);
  const found = (await queue.next())!;
  await queue.noteNode(found);
  signals.length = 0;
  await queue.suspendDry(found, 60_000);
  expect(signals).toEqual([400]);
});

test('it looks no later than at the end of the time that its call has', async () => {
  await add('a', 1);
  const taken = (await queue.next())!;
  signals.length = 0;
  await queue.suspendDry(taken, 30);
  expect(signals).toEqual([30]);
});

test('capacity that is given back wakes the domain that has waited longest', async () => {
  await add('a', 2);
  await add('b', 2);
  for (const taken of await take(2)) {
    await queue.suspendDry(taken, 60_000);
    await sleep(5);
  }
  signals.length = 0;
  await queue.resumeDry();
  expect(signals).toEqual([0]);
  expect(domains(await take(1))).toBe('a');
  await queue.resumeDry();
  expect(domains(await take(2))).toBe('a b');
  signals.length = 0;
  await queue.resumeDry();
  expect(signals).toEqual([]);
});

test('many domains without a node look a hundred times a second together, and not each as often', async () => {
  for (let i = 0; i < 150; i += 1) await add(`d${i}`, 1);
  const taken = await take(150);
  signals.length = 0;
  for (const one of taken) await queue.suspendDry(one, 60_000);
  expect(signals[0]).toBe(400);
  expect(signals.at(-1)).toBe(1490);
});

test('a call that is put off comes back by itself, and its domain goes on meanwhile', async () => {
  const [first, second] = await add('a', 2);
  const taken = (await queue.next())!;
  await queue.defer(taken, 100);
  expect(signals.at(-1)).toBe(100);
  expect((await take(2)).map(({ callId }) => callId)).toEqual([second!.callId]);
  await sleep(120);
  expect(await queue.next()).toMatchObject(first!);
});

test('a Redis that was emptied is filled again by what waits in Postgres', async () => {
  const waiting = [...(await add('a', 3)), ...(await add('b', 1))];
  await redis.del(...(await redis.keys(`${prefix}:*`)));
  expect(await queue.next()).toBeUndefined();
  signals.length = 0;
  await queue.restore(waiting);
  expect(signals).toEqual([0]);
  expect(domains(await take(5))).toBe('a b a a');
});

test('what somebody is placing is not restored beside them; what a dead replica had taken is, after a while', async () => {
  const [call] = await add('a', 1);
  await queue.next();
  await queue.restore([call!]);
  expect(await queue.next()).toBeUndefined();
  await sleep(450);
  await queue.restore([call!]);
  expect(await queue.next()).toMatchObject(call!);
});

test('what was put back into the queue already is not restored twice', async () => {
  const [call] = await add('a', 1);
  await queue.defer((await queue.next())!, 60_000);
  await queue.restore([call!]);
  expect(await queue.next()).toBeUndefined();
});
