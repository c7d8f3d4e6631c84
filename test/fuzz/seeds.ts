/** Which inputs the suite tries: the same ones in every run, and others each time, whose seed is printed. */

export const FIXED_SEED = 20_261_201;

/** FUZZ_SEED has a run again. */
export const randomSeed = Number(process.env.FUZZ_SEED ?? Date.now() % 0x7fffffff);

process.stdout.write(`fuzz: the random seed is ${randomSeed} (FUZZ_SEED has it again)\n`);
