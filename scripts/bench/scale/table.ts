/** Prints what was measured at each size side by side, with how it grows from the first size to the last. */
import { round } from '../roles';
import type { Figures } from './run-size';

type Row = [name: string, read: (f: Figures) => number];

const ROWS: Row[] = [
  ['nodes', (f) => f.nodes],
  ['live calls', (f) => f.calls],
  ['all nodes taken up, ms', (f) => f.takeUpMs],
  ['memory of the process, MB', (f) => f.idle.rssMb],
  ['  of it heap, MB', (f) => f.idle.heapMb],
  ['CPU of the process with calls standing, % of a core', (f) => f.idle.cpuPercent],
  ['  its timers late, p99 ms', (f) => f.idle.loopP99Ms],
  ['  Redis commands a second', (f) => f.idle.redisCommands],
  ['  Postgres transactions a second', (f) => f.idle.transactions],
  ['reading the pool, p50 ms', (f) => f.placing.readPool.p50Ms],
  ['pick, p50 ms', (f) => f.placing.pick.p50Ms],
  ['pick, p99 ms', (f) => f.placing.pick.p99Ms],
  ['  pick / reading the pool', (f) => round(f.placing.pick.p50Ms / f.placing.readPool.p50Ms, 2)],
  ['claim, p50 ms (16 at once)', (f) => f.placing.claim.p50Ms],
  ['claim, p99 ms', (f) => f.placing.claim.p99Ms],
  ['claims a second', (f) => f.placing.claim.perSecond],
  ['  bare EVALs a second', (f) => f.placing.eval.perSecond],
  ['  claims / bare EVALs', (f) => round(f.placing.claim.perSecond / f.placing.eval.perSecond, 2)],
  ['hold, p50 ms (16 at once)', (f) => f.placing.hold.p50Ms],
  ['hold, p99 ms', (f) => f.placing.hold.p99Ms],
  ['holds a second', (f) => f.placing.hold.perSecond],
  ['events a second into the log, 20 domains', (f) => f.events.perSecond],
  ['  the same, one domain', (f) => f.eventsOneDomain],
  ['  bare transactions a second', (f) => f.bare],
  ['  events / bare transactions', (f) => f.events.ratioToBare],
  ['  CPU of the process meanwhile, % of a core', (f) => f.events.usage.cpuPercent],
  ['sweep, a whole round, ms', (f) => f.sweep.roundMs],
  ['  steps of it, one each 2 s', (f) => f.sweep.steps],
  ['  the longest step, ms', (f) => f.sweep.longestStepMs],
  ['  statements', (f) => f.sweep.statements],
  ['  Redis commands of all', (f) => f.sweep.redisCommands],
  ['real calls: queued to placed, p50 ms', (f) => f.real.placedP50Ms],
  ['  p99 ms', (f) => f.real.placedP99Ms],
  ['  answered', (f) => f.real.answered],
  ['  not answered', (f) => f.real.lost],
  ['compare a node of 100 calls, ms', (f) => f.compare.ms],
  ['  statements', (f) => f.compare.statements],
  ['  back after a cut, ms', (f) => f.compare.reconnectMs],
  ['bytes of Redis for a claim', (f) => f.bytesPerClaim],
  ['bytes of Postgres for a live call', (f) => f.bytesPerLiveCall],
  ['bytes of Postgres for an event', (f) => f.bytesPerEvent],
];

export function printTable(figures: readonly Figures[]): void {
  const [first, last] = [figures[0], figures.at(-1)];
  if (!first || !last) return;
  const width = Math.max(...ROWS.map(([name]) => name.length));
  const cell = (text: string | number): string => String(text).padStart(9);
  console.log(`${''.padEnd(width)}${figures.map((f) => cell(`${f.nodes}`)).join('')}${cell('growth')}`);
  for (const [name, read] of ROWS) {
    const growth = read(first) > 0 ? `x${round(read(last) / read(first), 2)}` : '';
    console.log(`${name.padEnd(width)}${figures.map((f) => cell(read(f))).join('')}${cell(growth)}`);
  }
}
