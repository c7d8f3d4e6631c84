/** Nodes whose clocks are wrong serve as all others, and every time that is told of a call is by one clock. */
import type { PresentedCall } from '../../../src/domains/calls/calls';
import { useStores } from '../../stores';
import { startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
beforeAll(async () => {
  app = await startApp(stores);
});

interface ShownClock {
  offsetMs: number | null;
  skewed: boolean;
  note: string | null;
}
const clockOf = async (node: Node): Promise<ShownClock> => (await app.must(200, 'GET', `/v1/nodes/${node.id}`)).clock;
const clockIs = (node: Node, what: string, is: (clock: ShownClock) => boolean): Promise<ShownClock> => {
  let clock: ShownClock | undefined;
  return until(
    () => `the clock of ${node.name} is ${what}: ${JSON.stringify(clock)}`,
    async () => (is((clock = await clockOf(node))) ? clock : undefined),
  );
};
/** Only this node takes calls, until it is given back. */
async function alone(node: Node): Promise<void> {
  for (const other of (await app.must(200, 'GET', '/v1/nodes')).items)
    if (other.id !== node.id && other.state === 'serving')
      await app.must(200, 'POST', `/v1/nodes/${other.id}/drain`, {});
}

function expectInOrder(call: PresentedCall, talkedMs: { least: number; most: number }): void {
  const times = [call.queuedAt, call.ringingAt, call.answeredAt, call.endedAt].map((at) => Date.parse(at!));
  expect([...times].sort((a, b) => a - b)).toEqual(times);
  expect(call.talkSeconds! * 1000).toBeGreaterThanOrEqual(talkedMs.least);
  expect(call.talkSeconds! * 1000).toBeLessThanOrEqual(talkedMs.most);
}

/** @returns the call as it is when its records have come */
async function talk(from: string, to: string, ms: number): Promise<PresentedCall> {
  const { id } = await app.call(from, to);
  await app.callIs(id, 'answered');
  const answeredMs = Date.now();
  await new Promise((done) => setTimeout(done, ms));
  await app.hangUp(id);
  const talkedMs = Date.now() - answeredMs;
  await app.callIs(id, 'ended');
  const legs = async (): Promise<number> =>
    Number(((await stores.db('cdrs').where({ call_id: id }).count('* as n').first()) as { n: string }).n);
  await until('the records of both legs have come', async () => (await legs()) >= 2);
  const call = await app.readCall(id);
  expectInOrder(call, { least: talkedMs - 1500, most: talkedMs + 1500 });
  for (const leg of call.legs as unknown as Record<string, string | null>[]) {
    const times = [leg.createdAt, leg.ringingAt, leg.answeredAt, leg.endedAt]
      .filter(Boolean)
      .map((at) => Date.parse(at!));
    expect([...times].sort((a, b) => a - b)).toEqual(times);
    for (const at of times) expect(Math.abs(at - Date.now())).toBeLessThan(60_000);
  }
  return call;
}

describe.each([8, -8, 10, -10, 60, -60, 3600, -3600])('a node whose machine is %i s ahead', (seconds) => {
  const name = `at${seconds}`.replace('-', 'minus');
  let node: Node;
  beforeAll(async () => {
    node = await app.addNode(name, { clockOffsetMs: seconds * 1000 });
    await alone(node);
  });
  afterAll(async () => {
    await node.kill();
    await app.nodeIs(node, 'down');
  });

  test('takes calls, and their times are told by our clock', async () => {
    await app.addPhone(node, `ann-${name}`);
    await app.addPhone(node, `bert-${name}`, { answerAfterMs: 50 });
    const call = await talk(`ann-${name}`, `bert-${name}`, 1000);
    expect(call.outcome).toBe('answered');
    expect((await app.must(200, 'GET', '/v1/pool')).nodes.find((n: { id: string }) => n.id === node.id)).toMatchObject({
      silent: false,
      clock: { skewed: true },
    });
  });

  test('is shown with what it is ahead, and what keeps it from being set', async () => {
    const cause = seconds <= -60 ? /registrations of its phones/ : /the machine's own clock is wrong/;
    const clock = await clockIs(node, 'judged', ({ skewed, note }) => skewed && cause.test(note ?? ''));
    expect(Math.abs(clock.offsetMs! - seconds * 1000)).toBeLessThan(500);
    const line = new RegExp(`^switchyard_node_clock_offset_seconds\\{node="${name}"\\} (\\S+)$`, 'm');
    // The figures of the pool are read anew every two seconds.
    await until('the metric says the same', async () => {
      const told = line.exec(await (await fetch(`${app.operationsUrl}/metrics`)).text())?.[1];
      return told !== undefined && Math.abs(Number(told) - seconds) < 0.5;
    });
  });
});

test('a node whose clock was slow at its start is told to read it when the machine has been set', async () => {
  const node = await app.addNode('reset', { clockOffsetMs: -10_000 });
  node.faults.setMachineClock(0);
  const clock = await clockIs(node, 'right', ({ offsetMs, skewed }) => offsetMs !== null && !skewed && offsetMs > -100);
  expect(clock.note).toBeNull();
  const told = await stores
    .db('events')
    .where({ stream: 'pool', node_id: node.id })
    .whereIn('type', ['node.clock_skewed', 'node.clock_right'])
    .orderBy('number')
    .pluck('type');
  expect(told).toEqual(['node.clock_skewed', 'node.clock_right']);
  await node.kill();
  await app.nodeIs(node, 'down');
});

test('a node whose clock is set back in the middle of its work stays in the pool, although it sends no reports then', async () => {
  const node = await app.addNode('back', { clockOffsetMs: 3_600_000 });
  await alone(node);
  node.faults.setMachineClock(0);
  await clockIs(node, 'right', ({ offsetMs, skewed }) => offsetMs !== null && !skewed && Math.abs(offsetMs) < 500);
  await until('it is asked for its reports', () => app.lines.some((line) => /it is asked for its reports/.test(line)));
  await app.addPhone(node, 'ann');
  await app.addPhone(node, 'bert', { answerAfterMs: 50 });
  await talk('ann', 'bert', 500);
  await node.kill();
});

test('a call over two nodes whose clocks are 30 s apart lasts as long as it was talked, and its times are in order', async () => {
  const [one, two] = [
    await app.addNode('left', { clockOffsetMs: -15_000 }),
    await app.addNode('right', { clockOffsetMs: 15_000 }),
  ];
  await app.addPhone(one, 'carl');
  await app.addPhone(two, 'dora', { answerAfterMs: 300 });
  await app.addPhone(two, 'emil');
  await app.addPhone(one, 'frida', { answerAfterMs: 300 });
  for (const [from, to] of [
    ['carl', 'dora'],
    ['emil', 'frida'],
  ] as const)
    expect((await talk(from, to, 3000)).outcome).toBe('answered');
});
