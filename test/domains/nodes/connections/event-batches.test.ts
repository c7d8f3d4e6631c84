/** What nodes report is taken in many at once, each node's own in its order; what can't be taken in costs nobody else anything. */
import fc from 'fast-check';
import {
  createEventBatches,
  type IntakeLane,
  type NodeFact,
} from '../../../../src/domains/nodes/connections/event-batches';
import type { NodeRow } from '../../../../src/domains/nodes/nodes.store';
import type { NodeEvent } from '../../../../src/freeswitch/esl';
import { createLogger } from '../../../../src/infra/logger';
import { until } from '../../../until';

const node = (name: string): NodeRow => ({ id: name, name }) as NodeRow;
/** An event of which only the lane and the number matter. */
const event = (lane: string, number: number): NodeEvent =>
  ({ type: lane === 'calls' ? 'channel' : 'room', atMs: number }) as NodeEvent;
const laneOf = ({ type }: NodeEvent): string => (type === 'channel' ? 'calls' : 'rooms');
const numberOf = (fact: NodeFact): number => (fact.event as { atMs: number }).atMs;

type Take = (facts: readonly NodeFact[]) => Promise<void>;
const logged: string[] = [];
const logger = createLogger('error', { write: (line: string) => logged.push(line) });

function createIntake(take: { calls: Take; rooms?: Take }, change: Partial<IntakeLane> = {}) {
  const lane = { most: 100, batches: 1, gatherMs: 2, ...change };
  return createEventBatches({
    logger,
    lanes: [
      { name: 'calls', ...lane, take: take.calls },
      { name: 'rooms', most: 1, batches: 8, gatherMs: 0, take: take.rooms ?? (() => Promise.resolve()) },
    ],
    laneOf,
    now: () => performance.now(),
  });
}
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what comes within a moment is one batch, whichever nodes sent it', async () => {
  const batches: string[][] = [];
  const intake = createIntake({
    calls: (facts) => Promise.resolve(void batches.push(facts.map((fact) => `${fact.node.name}${numberOf(fact)}`))),
  });
  const [a, b] = [intake.open(node('a')), intake.open(node('b'))];
  a.add(event('calls', 1), 0);
  b.add(event('calls', 1), 0);
  a.add(event('calls', 2), 0);
  await until('all are taken in', () => batches.flat().length === 3);
  expect(batches).toEqual([['a1', 'a2', 'b1']]);
});

test("a node's reports are handled in their order, whatever lanes they are for, and its steps between them", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({ node: fc.constantFrom('a', 'b', 'c'), kind: fc.constantFrom('calls', 'calls', 'rooms', 'step') }),
        { maxLength: 40 },
      ),
      fc.integer({ min: 1, max: 7 }),
      async (told, most) => {
        const seen: Record<string, number[]> = { a: [], b: [], c: [] };
        const running = new Set<string>();
        const take: Take = async (facts) => {
          const names = new Set(facts.map((fact) => fact.node.name));
          for (const name of names) expect(running.has(name)).toBe(false); // nothing of a node beside another
          for (const name of names) running.add(name);
          await tick();
          for (const fact of facts) seen[fact.node.name]!.push(numberOf(fact));
          for (const name of names) running.delete(name);
        };
        const intake = createIntake({ calls: take, rooms: take }, { most, gatherMs: 0 });
        const queues = { a: intake.open(node('a')), b: intake.open(node('b')), c: intake.open(node('c')) };
        const expected: Record<string, number[]> = { a: [], b: [], c: [] };
        told.forEach(({ node: name, kind }, i) => {
          expected[name]!.push(i);
          const queue = queues[name as 'a'];
          if (kind === 'step') queue.run(() => take([{ node: node(name), event: event('calls', i), arrivedMs: 0 }]));
          else queue.add(event(kind, i), 0);
        });
        await until('all are taken in', () => Object.values(seen).flat().length === told.length);
        expect(seen).toEqual(expected);
      },
    ),
    { numRuns: 50 },
  );
});

test('a step of one node holds up no other', async () => {
  const seen: string[] = [];
  const intake = createIntake({ calls: (facts) => Promise.resolve(void seen.push(...facts.map((f) => f.node.name))) });
  const [a, b] = [intake.open(node('a')), intake.open(node('b'))];
  let finish: () => void = () => undefined;
  a.run(() => new Promise((resolve) => (finish = resolve)));
  a.add(event('calls', 1), 0);
  b.add(event('calls', 1), 0);
  await until("the other node's is taken in", () => seen.length === 1);
  expect(seen).toEqual(['b']);
  finish();
  await until('its own is taken in behind the step', () => seen.length === 2);
});

test('one that can not be taken in is set aside alone, and all others of its batch are taken in', async () => {
  const taken: number[] = [];
  const intake = createIntake({
    calls: (facts) => {
      if (facts.some((fact) => numberOf(fact) === 13)) return Promise.reject(new Error('13 is no number for a report'));
      taken.push(...facts.map(numberOf));
      return Promise.resolve();
    },
  });
  const queue = intake.open(node('a'));
  for (let i = 0; i < 40; i += 1) queue.add(event('calls', i), 0);
  await until('all others are taken in', () => taken.length === 39);
  expect(taken).toEqual(Array.from({ length: 40 }, (_, i) => i).filter((i) => i !== 13));
  expect(logged.filter((line) => line.includes('13 is no number for a report'))).toHaveLength(1);
});

test('while the database is away the same batch is tried again, and what comes meanwhile waits behind it', async () => {
  const tries: number[][] = [];
  let isAway = true;
  const intake = createIntake({
    calls: (facts) => {
      tries.push(facts.map(numberOf));
      return isAway ? Promise.reject(Object.assign(new Error('away'), { code: 'ECONNREFUSED' })) : Promise.resolve();
    },
  });
  const queue = intake.open(node('a'));
  queue.add(event('calls', 1), 0);
  queue.add(event('calls', 2), 0);
  await until('it was tried', () => tries.length > 0);
  queue.add(event('calls', 3), 0);
  isAway = false;
  await until('all are taken in', () => tries.flat().includes(3));
  expect(tries.at(-2)).toEqual([1, 2]);
  expect(tries.at(-1)).toEqual([3]);
});

test('who is not looked after any more is waited for no longer than its batch, and the rest is forgotten', async () => {
  const taken: number[] = [];
  let finish: () => void = () => undefined;
  const intake = createIntake(
    {
      calls: async (facts) => {
        await new Promise<void>((resolve) => (finish = resolve));
        taken.push(...facts.map(numberOf));
      },
    },
    { most: 1 },
  );
  const queue = intake.open(node('a'));
  queue.add(event('calls', 1), 0);
  queue.add(event('calls', 2), 0);
  await tick();
  const ended = queue.end();
  queue.add(event('calls', 3), 0);
  finish();
  await ended;
  await tick();
  expect(taken).toEqual([1]);
});

test('with the database away for good, the end of a node is not waited for', async () => {
  const away = (): Promise<void> => Promise.reject(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }));
  const intake = createIntake({ calls: away });
  const [a, b] = [intake.open(node('a')), intake.open(node('b'))];
  a.add(event('calls', 1), 0);
  b.add(event('calls', 1), 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await a.end();
  await b.end();
});
