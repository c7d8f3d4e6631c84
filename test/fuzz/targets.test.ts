import { describeFinding } from '../../scripts/bench/fuzz/campaign';
import { PURE } from '../../scripts/bench/fuzz/list';
import { missingBuilders } from '../../scripts/bench/fuzz/grammar/commands';
import type { Target } from '../../scripts/bench/fuzz/target';
import { FIXED_SEED, randomSeed } from './seeds';

/** Few, since the suite has little time; scripts/bench/fuzz tries millions. */
const RUNS: Readonly<Record<string, number>> = {
  'rtmp-memory': 2,
  'rtmp-pace': 15,
  'frames-pace': 15,
  media: 40,
  form: 40,
  png: 80,
};
const USUAL_RUNS = 150;

async function mustHold(target: Target, seed: number): Promise<void> {
  const { finding, runs } = await target.run({ seed, runs: RUNS[target.name] ?? USUAL_RUNS });
  expect(finding && describeFinding(finding)).toBeUndefined();
  expect(runs).toBeGreaterThan(0);
}

describe.each(
  Object.values(PURE)
    .map((make) => make())
    .map((target) => [target.name, target.holds, target] as const),
)('%s: %s', (_name, _holds, target) => {
  test('with the inputs that every run tries', () => mustHold(target, FIXED_SEED));
  test(`with inputs of seed ${randomSeed}`, () => mustHold(target, randomSeed));
});

test('every builder of commands has a grammar', () => {
  expect(missingBuilders()).toEqual([]);
});
