/** Many nodes report at once: each report counts, and the older one of a node does not. */
import { randomUUID } from 'node:crypto';
import { saveReports, type NodeReport } from '../../../../src/domains/nodes/nodes.store';
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
