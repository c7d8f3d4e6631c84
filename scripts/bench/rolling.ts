/** Ten rolling restarts of two replicas behind nginx, with real nodes, under calls: what is lost, and how long each takes. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { startRollingPool } from './rolling/pool';
import { runRolling, type RollingReport } from './rolling/run';
import { quantile, round, withStores } from './roles';

const USAGE = `tsx scripts/bench/rolling.ts [--restarts 10] [--nodes 3] [--standing 20] [--rate 5] [--pause 3]
--rate    new calls a second; --pause  seconds between two restarts
It needs nginx, and a freeswitch at FREESWITCH_BIN or on PATH. ROLLING_KEEP=1 keeps the logs of all processes.`;

function findFreeswitch(): string | undefined {
  const named = process.env.FREESWITCH_BIN;
  if (named) return existsSync(named) ? named : undefined;
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, 'freeswitch')).find((file) => existsSync(file));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      restarts: { type: 'string', default: '10' },
      nodes: { type: 'string', default: '3' },
      standing: { type: 'string', default: '20' },
      rate: { type: 'string', default: '5' },
      pause: { type: 'string', default: '3' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const freeswitch = findFreeswitch();
  if (!freeswitch) return console.log('skipped: there is no freeswitch (FREESWITCH_BIN or PATH)');
  const startedMs = Date.now();
  const report = (line: string): void =>
    console.log(`${((Date.now() - startedMs) / 1000).toFixed(0).padStart(5)} s  ${line}`);
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-rolling-'));
  try {
    await withStores(async ({ databaseUrl, redisUrl }) => {
      const stores = { databaseUrl, redisUrl, redisPrefix: 'rolling' };
      const pool = await startRollingPool({ freeswitch, nodes: Number(values.nodes), dir, ...stores });
      try {
        report(`${values.nodes} real nodes serve`);
        const [restarts, standing] = [Number(values.restarts), Number(values.standing)];
        const [callsPerSecond, pauseMs] = [Number(values.rate), Number(values.pause) * 1000];
        print(await runRolling(pool, { restarts, standing, callsPerSecond, pauseMs, report }));
      } catch (fault) {
        console.error(pool.lastLines());
        throw fault;
      } finally {
        await pool.stop();
      }
    });
  } finally {
    if (process.env.ROLLING_KEEP) console.log(`kept: ${dir}`);
    else rmSync(dir, { recursive: true, force: true });
  }
}

function print({ restarts, standing, calls, nodes }: RollingReport): void {
  const figures = (values: number[]): string =>
    `p50 ${round(quantile(values, 0.5))} ms, p99 ${round(quantile(values, 0.99))} ms`;
  console.log(`\nrestarts of a replica   ${restarts.length}`);
  console.log(`  until it had ended    ${figures(restarts.map((one) => one.endedMs))}`);
  console.log(`  until it was ready    ${figures(restarts.map((one) => one.readyMs))}`);
  console.log(`standing calls          ${standing.live} of ${standing.began} live`);
  console.log(`new calls               ${calls.completed} of ${calls.asked} completed`);
  console.log(`  refused, lost         ${calls.refused.length}, ${calls.lost.length}`);
  console.log(`  asked until answered  ${figures(calls.setupMs)}`);
  console.log(`looks at the pool       ${nodes.looks}, ${nodes.unanswered} without an answer`);
  console.log(`  nodes not serving     ${nodes.notServing.length}`);
  for (const line of [...calls.refused, ...calls.lost, ...nodes.notServing].slice(0, 20)) console.log(`  ${line}`);
  const isWhole = standing.live === standing.began && calls.completed === calls.asked && nodes.notServing.length === 0;
  process.exitCode = isWhole ? 0 : 1;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
