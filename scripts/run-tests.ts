/** Counts everything that was checked into one last line, so that a person and a build server read the same. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from './project';

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
}

/** The part of jest's --json report that is read here. */
interface JestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numRuntimeErrorTestSuites: number;
  testResults: { name: string; status: string; message: string; assertionResults: unknown[] }[];
}

const root = projectRoot();
const bin = (name: string): string => join(root, 'node_modules', '.bin', name);

function run(command: string, args: string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit' });
    child.once('error', () => resolve(127));
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** A check that passes or fails as a whole. */
async function check(name: string, command: string, args: string[]): Promise<Outcome> {
  const startedAt = Date.now();
  console.log(`\n== ${name}`);
  const ok = (await run(command, args)) === 0;
  console.log(`${ok ? 'ok' : 'FAILED'}: ${name} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`);
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
}

async function runJest(args: string[]): Promise<Outcome> {
  console.log('\n== tests');
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-report-'));
  const file = join(folder, 'jest.json');
  const code = await run(bin('jest'), ['--json', `--outputFile=${file}`, ...args]);
  try {
    return count(JSON.parse(readFileSync(file, 'utf8')) as JestReport, code);
  } catch {
    return { passed: 0, failed: 1, skipped: 0 }; // it did not come so far as to report
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A file that could not even be read counts as one failure; so does a bad exit that no test explains. */
export function count(report: JestReport, exitCode: number): Outcome {
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: report.numPendingTests,
  };
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const outcomes = [
    await check('types', bin('tsc'), ['--noEmit']),
    await check('lint', bin('eslint'), ['.', '--max-warnings', '0']),
    await check('dead code', bin('knip'), []),
    await check('dead code in src', bin('knip'), ['--production', '--include', 'files,exports,types']),
    await check('formatting', bin('prettier'), ['--check', '--log-level', 'warn', '.']),
    await runJest(args),
  ];
  const sum = (part: keyof Outcome): number => outcomes.reduce((total, outcome) => total + outcome[part], 0);
  const skipped = sum('skipped') ? `, ${sum('skipped')} skipped` : '';
  if (skipped) console.log('\nSkipped tests need a program that is not installed; each test names it.');
  console.log(`\n${sum('passed')} passed, ${sum('failed')} failed${skipped}`);
  process.exitCode = sum('failed') ? 1 : 0;
}

if (require.main === module) void main();
