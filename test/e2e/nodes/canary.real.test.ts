/** The canary on a real FreeSWITCH: what it proves there, and that nothing of it stays. */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startRealPool, type RealPool } from '../../browser/pool/real-pool';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../harness';

interface NodeItem {
  id: string;
  sessionCount: number;
  reportedAt: string;
  health: { healthy: boolean; conferenceMs: number | null; webSocket: string | null; canary: { ok: boolean } | null };
}

describeWithRealNode('a canary on a real node', (freeswitch) => {
  let pool: RealPool;
  const stores = useStores();
  beforeAll(async () => {
    pool = await startRealPool(freeswitch, stores, 1, { HEALTH_SECONDS: '0.5', CANARY_SECONDS: '0' });
  }, 300_000);
  afterAll(() => pool?.stop());

  const readNode = async (): Promise<NodeItem> => (await pool.api.get<{ items: NodeItem[] }>('/v1/nodes')).items[0]!;

  test('it is mixed, recorded and heard, three times, and leaves no channel, file or row', async () => {
    const { id } = await readNode();
    const saidBefore = pool.warnings.length; // that nobody listened while the node was starting
    for (let i = 0; i < 3; i += 1) {
      const result = await pool.api.post<Record<string, unknown>>(`/v1/nodes/${id}/canary`, {});
      process.stdout.write(`canary on FreeSWITCH: ${JSON.stringify(result)}\n`);
      expect(result).toMatchObject({ ok: true, heard: true, recorded: true, failure: null });
    }
    const reported = (await readNode()).reportedAt;
    await until('no channel is left', async () => {
      const { reportedAt, sessionCount } = await readNode();
      return reportedAt > reported && sessionCount === 0;
    });
    expect(readdirSync(join(dirname(dirname(pool.nodes[0]!.process.logFile)), 'recordings'))).toEqual([]);
    expect(await stores.db('calls').count('* as n').first()).toEqual({ n: '0' });
    expect(await stores.db('cdrs').count('* as n').first()).toEqual({ n: '0' });
    expect(pool.warnings.slice(saidBefore)).toEqual([]);
  }, 300_000);

  test('its conferences answer in time, and its WebSocket port takes browsers', async () => {
    const node = await until('it was looked at', async () => {
      const found = await readNode();
      return found.health.conferenceMs === null ? undefined : found;
    });
    process.stdout.write(`health on FreeSWITCH: ${JSON.stringify(node.health)}\n`);
    expect(node.health).toMatchObject({ healthy: true, webSocket: 'open' });
  });
});
