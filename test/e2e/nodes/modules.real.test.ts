/** A real node that was started without mod_av: what it lacks is known when it serves, and again when it was loaded. */
import { startRealPool, type RealPool } from '../../browser/pool/real-pool';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../../until';

describeWithRealNode('a real node without mod_av', (binary) => {
  let pool: RealPool;
  const stores = useStores();
  afterAll(() => pool?.stop());

  interface Shown {
    items: { name: string; lacks: { modules: string[]; features: string[]; note: string } | null }[];
  }
  const lacks = async () =>
    Object.fromEntries((await pool.api.get<Shown>('/v1/nodes')).items.map((node) => [node.name, node.lacks]));

  test('the one is shown as lacking it from the moment it serves, the other as having all', async () => {
    const without = (index: number) => (index === 0 ? ['mod_av'] : []);
    pool = await startRealPool(binary, stores, 2, {}, undefined, undefined, undefined, without);
    expect(await pool.command(pool.nodes[0]!, 'module_exists mod_av')).toBe('false');
    expect(await lacks()).toEqual({
      'node-1': {
        modules: ['mod_av'],
        features: ['mp4_recordings', 'relays'],
        note: "without mod_av it can't record mp4 or send relays",
      },
      'node-2': null,
    });
  }, 120_000);

  test('once mod_av is loaded there it is not missing any more', async () => {
    expect(await pool.command(pool.nodes[0]!, 'load mod_av')).toContain('+OK');
    await until('it has it', async () => (await lacks())['node-1'] === null, 90_000);
  }, 200_000);
});
