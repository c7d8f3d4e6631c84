/** Tests that need a real FreeSWITCH, or another program, are skipped where there is none, counted so, and run wherever there is. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** FREESWITCH_BIN, or the `freeswitch` on PATH. */
export function freeswitchBinary(): string | undefined {
  const named = process.env.FREESWITCH_BIN;
  if (named) return existsSync(named) ? named : undefined;
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, 'freeswitch')).find((file) => existsSync(file));
}

/**
 * Like `describe`, for what needs a program that not every machine has.
 * @param missing what is not here, and where it is looked for: the tests then count as one that was skipped
 */
export function describeUnless(missing: string | false | undefined, name: string, tests: () => void): void {
  describe(name, () => {
    if (!missing) return tests();
    process.stdout.write(`${name}: ${missing}: skipped\n`);
    test.skip(missing, () => undefined);
  });
}

/** Like `describe`, for what needs a FreeSWITCH. */
export function describeWithRealNode(name: string, tests: (binary: string) => void): void {
  const binary = freeswitchBinary();
  describeUnless(!binary && 'no FreeSWITCH found (FREESWITCH_BIN or PATH)', name, () => tests(binary!));
}
