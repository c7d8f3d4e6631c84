/** Fuzzes one target or all of them for a time, and says what was tried and found: `--help`. */
import { parseArgs } from 'node:util';
import { ownRole } from '../roles';
import type { CampaignResult } from './campaign';
import { TARGET_NAMES } from './list';
import { serveTarget, watchTarget } from './watch';

const USAGE = `tsx scripts/bench/fuzz/main.ts [--target NAME[,NAME…]] [--seconds 60] [--seed N] [--runs N] [--findings 1]
--target    ${TARGET_NAMES.join(', ')}; all of them where it is left out
--seconds   for each target
--runs      no more inputs than this for each target
--findings  goes on until it has so many different ones of a target
--path      with --seed and one --target: tries this one input again, as it was printed
FREESWITCH_BIN=… lets the target "sip" start a real node; without it that one is left out.`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      target: { type: 'string', default: TARGET_NAMES.join(',') },
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string' },
      runs: { type: 'string' },
      findings: { type: 'string', default: '1' },
      path: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const names = values.target.split(',');
  const unknown = names.filter((name) => !TARGET_NAMES.includes(name));
  if (unknown.length > 0)
    throw new Error(`No target is called ${unknown.join(', ')}. There are ${TARGET_NAMES.join(', ')}.`);
  const seed = values.seed === undefined ? Date.now() % 0x7fffffff : Number(values.seed);
  console.log(`seed ${seed}`);
  let inputs = 0;
  let findings = 0;
  let notRun = 0;
  for (const name of names) {
    const result = await watchTarget(__filename, {
      target: name,
      seed,
      seconds: Number(values.seconds),
      maxRuns: values.runs === undefined ? undefined : Number(values.runs),
      maxFindings: Number(values.findings),
      path: values.path,
    });
    inputs += result.runs;
    findings += result.findings.length;
    notRun += result.notRun === undefined ? 0 : 1;
    console.log(result.notRun === undefined ? describeResult(result) : `${name.padEnd(14)} not run: ${result.notRun}`);
  }
  console.log(`\n${inputs} inputs, ${findings} findings, ${notRun} targets not run`);
  process.exitCode = findings > 0 ? 1 : 0;
}

function describeResult(r: CampaignResult): string {
  const classes = [...r.classes].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${n}`);
  const perSecond = Math.round(r.runs / Math.max(r.seconds, 0.001));
  return (
    `${r.target.padEnd(14)} ${String(r.runs).padStart(8)} inputs in ${r.seconds.toFixed(0)} s (${perSecond}/s), ` +
    `${r.findings.length} findings; ${classes.slice(0, 12).join(', ')}`
  );
}

if (ownRole === 'target') serveTarget();
else {
  main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
}
