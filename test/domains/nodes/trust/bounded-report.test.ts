/** Many nodes report at once: each report counts, the older one of a node does not, and a write that fails says so to each. */
import { randomUUID } from 'node:crypto';
import { saveReports, type NodeReport } from '../../../../src/domains/nodes/nodes.store';
import { createBatch } from '../../../../src/infra/flow/batch';
import { useStores } from '../../../stores';

const stores = useStores();

async function addNode(name: string): Promise<string> {
  const id = randomUUID();
  const ports = { esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 };
  const secrets = { secret_hash: '', esl_password_sealed: 'x' };
  await stores.db('nodes').insert({ id, name, host: '127.0.0.1', state: 'serving', ...ports, ...secrets });
  return id;
}

const report = (id: string, atMs: number, sessionCount: number): NodeReport => ({
  ...{ id, at: new Date(atMs), sessionCount, maxSessions: 500 },
  ...{ idleCpuPercent: 91.5, version: sessionCount > 5 ? null : '1.10.12' },
});

test('reports of several nodes are taken in together, and an older one than the last is left out', async () => {
  const [one, two] = [await addNode('one'), await addNode('two')];
  await saveReports(stores.db, [report(one, 2000, 3), report(two, 2000, 4), report(randomUUID(), 2000, 5)]);
  await saveReports(stores.db, [report(one, 1000, 7), report(two, 3000, 8)]);
  const rows = await stores
    .db('nodes')
    .orderBy('name')
    .select('session_count', 'idle_cpu_percent', 'version', 'reported_at');
  expect(rows).toEqual([
    { session_count: 3, idle_cpu_percent: '91.5', version: '1.10.12', reported_at: new Date(2000) },
    { session_count: 8, idle_cpu_percent: '91.5', version: '1.10.12', reported_at: new Date(3000) },
  ]);
});

test('what comes while a write is under way goes together with the next, and each is told of its own', async () => {
  const writes: number[][] = [];
  let finish: (() => void)[] = [];
  const batch = createBatch<number>(3, async (items) => {
    writes.push(items);
    await new Promise<void>((resolve) => finish.push(resolve));
    if (items.includes(5)) throw new Error('the database is away');
  });
  const told = [1, 2, 3, 4, 5].map((item) =>
    batch.add(item).then(
      () => 'written',
      (error: Error) => error.message,
    ),
  );
  for (let turn = 0; turn < 3; turn += 1) {
    const [first] = finish;
    finish = [];
    first!();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(writes).toEqual([[1], [2, 3, 4], [5]]);
  expect(await Promise.all(told)).toEqual(['written', 'written', 'written', 'written', 'the database is away']);
});
