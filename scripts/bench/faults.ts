/** Breaks nodes, replicas, Redis and Postgres by chance under load, and says what did not come right: `--seed N`. */
import { parseArgs } from 'node:util';
import { runFaults, type FaultReport } from './faults/run';
import { quantile, round } from './roles';

const USAGE = `tsx scripts/bench/faults.ts [--seed 1] [--faults 1000] [--minutes 60] [--every 700] [--at-once 3]
                              [--load 160] [--phones 4] [--quiet 150000] [--mixed]
--every, --load   milliseconds between two faults, and between two things that people do, on the average
--quiet           milliseconds that everything may take to come right after all is healed
--mixed           roles apart: one replica answers and dials, two follow the nodes
FAULTS_KEEP=1 keeps the logs of all processes.`;

/** All that is known to take long: a silent node's calls (30 s), who never came (60 s), a claim nobody gave back (120 s). */
const QUIET_LIMIT_MS = 150_000;

const ALL = 'api,worker,supervisor';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      faults: { type: 'string', default: '1000' },
      minutes: { type: 'string', default: '60' },
      every: { type: 'string', default: '700' },
      'at-once': { type: 'string', default: '3' },
      load: { type: 'string', default: '160' },
      phones: { type: 'string', default: '4' },
      mixed: { type: 'boolean', default: false },
      quiet: { type: 'string', default: String(QUIET_LIMIT_MS) },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const startedMs = Date.now();
  const report = await runFaults({
    seed: Number(values.seed),
    faults: Number(values.faults),
    minutes: Number(values.minutes),
    faultEveryMs: Number(values.every),
    atOnce: Number(values['at-once']),
    loadEveryMs: Number(values.load),
    phonesPerNode: Number(values.phones),
    replicas: values.mixed ? ['api,worker', 'supervisor', 'supervisor'] : [ALL, ALL, 'worker,supervisor'],
    hosts: 2,
    nodesPerHost: 3,
    capacity: 60,
    quietLimitMs: Number(values.quiet),
    endLimitMs: Number(values.quiet),
    logLevel: process.env.LOG_LEVEL,
    report: (line) => console.log(`${((Date.now() - startedMs) / 1000).toFixed(0).padStart(5)} s  ${line}`),
  });
  print(report, Number(values.seed));
  process.exitCode = report.violations.length > 0 ? 1 : 0;
}

function print(r: FaultReport, seed: number): void {
  const kinds = new Map<string, number>();
  for (const { kind } of r.injected) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  console.log('\ninjected:', [...kinds].map(([kind, n]) => `${kind} ${n}`).join(', '));
  console.log('asked for:', JSON.stringify(r.load), 'answers:', r.statuses.map(([s, n]) => `${s}: ${n}`).join(', '));
  console.log('calls by outcome:', JSON.stringify(r.outcomes), `phones rang ${r.rings} times`);
  for (const s of r.log.streams)
    console.log(`events of ${s.name}: ${s.events}, the reader came back ${s.reconnects} times`);
  for (const [kind, times] of [...r.recoveries].sort())
    console.log(
      `${kind}: p50 ${round(quantile(times, 0.5))} ms, p99 ${round(quantile(times, 0.99))} ms (${times.length})`,
    );
  for (const line of r.late) console.log(`not right in time: ${line}`);
  r.violations.forEach((violation, i) => {
    console.log(`\nVIOLATION (seed ${seed}) ${violation.rule}: ${violation.text}\n${r.trails[i] ?? ''}`);
  });
  console.log(`\nquiet after ${r.quietMs} ms, over after ${r.endMs} ms`);
  console.log(`${r.injected.length} faults, ${r.violations.length} violations`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
