/** A short fault run, so that whatever breaks what the long one has found is seen at once: scripts/bench/faults.ts. */
import { runFaults } from '../../../scripts/bench/faults/run';

test('nodes, replicas, Redis and Postgres break by chance under load, and afterwards both truths agree', async () => {
  const lines: string[] = [];
  const all = 'api,worker,supervisor';
  const report = await runFaults({
    seed: 11,
    faults: 45,
    minutes: 3, // at most: a slow machine needs more of them to mend what was broken
    faultEveryMs: 250,
    atOnce: 4,
    loadEveryMs: 250,
    phonesPerNode: 3,
    replicas: [all, all],
    hosts: 1,
    nodesPerHost: 4,
    capacity: 60,
    quietLimitMs: 240_000,
    endLimitMs: 180_000,
    report: (line) => void lines.push(line),
  });
  const found = report.violations.map(({ rule, text }, i) => `${rule}: ${text}\n${report.trails[i] ?? ''}`);
  expect(found).toEqual([]);
  // It must have been hard. How many talk meanwhile depends on the machine, but afterwards they must.
  expect(report.injected.length).toBeGreaterThan(15);
  expect(report.talkedAfterwards).toBeGreaterThan(2);
  expect(report.log.streams.every(({ events }) => events > 0)).toBe(true);
}, 900_000);
