/** A rolling restart as freeswitch/README.md describes it, with nginx and real nodes: nobody who talks or calls notices. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRollingPool, type RollingPool } from '../../../scripts/bench/rolling/pool';
import { runRolling } from '../../../scripts/bench/rolling/run';
import { findProgram } from '../../../scripts/stores/redis';
import { describeUnless, freeswitchBinary } from '../../real-node';
import { useStores } from '../../stores';

const freeswitch = freeswitchBinary();
const missing = !freeswitch
  ? 'no FreeSWITCH found (FREESWITCH_BIN or PATH)'
  : !findProgram('nginx') && 'no nginx found on PATH';

describeUnless(missing, 'a rolling restart behind the proxy of freeswitch/README.md', () => {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-rolling-'));
  chmodSync(dir, 0o711);
  let pool: RollingPool | undefined;
  afterAll(async () => {
    await pool?.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  const stores = useStores();

  test('loses no call that stands and none that is asked for meanwhile, and no node', async () => {
    pool = await startRollingPool({ ...stores, freeswitch: freeswitch!, nodes: 2, dir });
    const o = { restarts: 1, standing: 4, callsPerSecond: 1, pauseMs: 1000, report: () => undefined };
    const { calls, standing, nodes, restarts } = await runRolling(pool, o);
    expect(restarts).toHaveLength(2);
    expect(standing).toEqual({ began: 4, live: 4 });
    expect({ refused: calls.refused, lost: calls.lost, notServing: nodes.notServing }).toEqual({
      refused: [],
      lost: [],
      notServing: [],
    });
    expect(calls.completed).toBe(calls.asked);
  }, 240_000);
});
