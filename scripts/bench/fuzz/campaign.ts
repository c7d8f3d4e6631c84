/** Tries inputs of one target until its time is over or something is found; each batch's seed follows from the first. */
import { createRandom } from '../faults/random';
import type { Finding, Target } from './target';

export interface CampaignResult {
  target: string;
  seed: number;
  runs: number;
  seconds: number;
  classes: ReadonlyMap<string, number>;
  findings: Finding[];
}

export interface CampaignOptions {
  seed: number;
  /** No batch is begun after this long. */
  seconds: number;
  /** No more inputs than this. */
  maxRuns?: number;
  /** Goes on after so many findings. */
  maxFindings?: number;
  report?: (finding: Finding) => void;
  /** Told before each input. */
  onInput?: (seed: number, index: number) => void;
}

/** How much longer than its time a campaign may take to make a finding small. */
const SHRINK_MS = 20_000;

export async function runCampaign(target: Target, o: CampaignOptions): Promise<CampaignResult> {
  const random = createRandom(o.seed);
  const startedMs = Date.now();
  const endMs = startedMs + o.seconds * 1000;
  const classes = new Map<string, number>();
  const findings: Finding[] = [];
  const known = new Set<string>();
  let runs = 0;
  while (Date.now() < endMs && runs < (o.maxRuns ?? Infinity)) {
    const seed = random.int(0, 0x7fffffff);
    const result = await target.run({
      seed,
      onInput: (index) => o.onInput?.(seed, index),
      runs: Math.min(target.perBatch, (o.maxRuns ?? Infinity) - runs),
      deadlineMs: Math.max(1, endMs - Date.now()) + SHRINK_MS,
    });
    runs += result.runs;
    for (const [name, count] of result.classes) classes.set(name, (classes.get(name) ?? 0) + count);
    const { finding } = result;
    if (!finding) continue;
    if (!known.has(finding.fault)) {
      known.add(finding.fault);
      findings.push(finding);
      o.report?.(finding);
    }
    if (findings.length >= (o.maxFindings ?? 1)) break;
  }
  return { target: target.name, seed: o.seed, runs, seconds: (Date.now() - startedMs) / 1000, classes, findings };
}

/** As a person reads it, with how to have it again. */
export function describeFinding(f: Finding): string {
  return [
    `FOUND by ${f.target}: ${f.fault}`,
    `input: ${f.input.length > 6000 ? `${f.input.slice(0, 6000)}… (${f.input.length} characters)` : f.input}`,
    `again: tsx scripts/bench/fuzz/main.ts --target ${f.target} --seed ${f.seed} --path ${f.path}`,
  ].join('\n');
}
