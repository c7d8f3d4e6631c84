/** Runs each target in a process of its own: an input on which ours never ends is found, too, and not waited for. */
import { fork } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeFinding, runCampaign, type CampaignResult } from './campaign';
import { openTargets } from './list';

/** What the other process is asked. */
export interface Order {
  target: string;
  seed: number;
  seconds: number;
  maxRuns?: number;
  maxFindings: number;
  path?: string;
}

/** What it answers. Maps don't travel. */
type Answer = Omit<CampaignResult, 'classes'> & { classes: [string, number][]; notRun?: string };

/** No input takes this long: what does not come back is stuck. Openings and shrinking are steps, too, and tell so. */
const STUCK_MS = 60_000;
const OPENING_MS = 180_000;
const LOOK_MS = 1000;
const CLOSING_MS = 2000;

/** @returns what was found, a hang as well */
export async function watchTarget(file: string, order: Order): Promise<CampaignResult & { notRun?: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-fuzz-'));
  const startedMs = Date.now();
  const child = fork(file, ['--role=target'], { env: { ...process.env, FUZZ_PROGRESS: join(dir, 'at') } });
  try {
    return await new Promise((resolve, reject) => {
      let seen = '';
      let seenMs = Date.now();
      let answer: Answer | undefined;
      const timer = setInterval(() => {
        const now = readProgress(join(dir, 'at'));
        if (now !== seen) [seen, seenMs] = [now, Date.now()];
        if (answer || Date.now() - seenMs < (seen === '' ? OPENING_MS : STUCK_MS)) return;
        const [seed = '0', index = '0'] = seen.trim().split(' ');
        child.kill('SIGKILL');
        const finding = {
          target: order.target,
          seed: Number(seed),
          path: index,
          input: 'not known: the process was stuck in it',
          fault: `it does not come back in ${STUCK_MS / 1000} s`,
        };
        console.log(`\n${describeFinding(finding)}\n`);
        const seconds = (Date.now() - startedMs) / 1000;
        answer = { target: order.target, seed: order.seed, runs: 0, seconds, classes: [], findings: [finding] };
      }, LOOK_MS);
      child.on('message', (said) => {
        answer = said as Answer;
        // All is closed by now; what a library keeps open is not waited for.
        setTimeout(() => child.kill('SIGKILL'), CLOSING_MS).unref();
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        clearInterval(timer);
        if (answer) resolve({ ...answer, classes: new Map(answer.classes) });
        else reject(new Error(`${order.target}: the process ended with ${code}, last at ${seen || 'its start'}`));
      });
      child.send(order);
    });
  } finally {
    child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
}

function readProgress(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

/** The other process: one order, one answer, and its number of input in a file all the time. */
export function serveTarget(): void {
  const progress = openSync(process.env.FUZZ_PROGRESS!, 'w');
  process.once('message', (order) => {
    work(order as Order, (text) => writeSync(progress, text.padEnd(40), 0, 'latin1'))
      .then((answer) => process.send!(answer, () => process.disconnect()))
      .catch((error: unknown) => {
        console.error(error);
        process.exit(1);
      })
      .finally(() => closeSync(progress));
  });
}

async function work(o: Order, tell: (text: string) => void): Promise<Answer> {
  const opened = await openTargets([o.target]);
  const [target] = opened.targets;
  if (!target) {
    const notRun = opened.skipped[0]?.why ?? 'it could not be opened';
    return { target: o.target, seed: o.seed, runs: 0, seconds: 0, classes: [], findings: [], notRun };
  }
  try {
    if (o.path !== undefined) {
      const { classes, runs, finding } = await target.run({ seed: o.seed, path: o.path, runs: 1 });
      if (finding) console.log(describeFinding(finding));
      return { ...o, runs, seconds: 0, classes: [...classes], findings: finding ? [finding] : [] };
    }
    let said = 0;
    const result = await runCampaign(target, {
      ...o,
      report: (finding) => console.log(`\n${describeFinding(finding)}\n`),
      onInput: (seed, index) => tell(`${seed} ${index} ${(said += 1)}`),
    });
    return { ...result, classes: [...result.classes] };
  } finally {
    await opened.close();
  }
}
