/** Tests that need a real FreeSWITCH say plainly where there is none, and are run wherever there is. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** FREESWITCH_BIN, or the `freeswitch` on PATH. */
export function freeswitchBinary(): string | undefined {
  const named = process.env.FREESWITCH_BIN;
  if (named) return existsSync(named) ? named : undefined;
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, 'freeswitch')).find((file) => existsSync(file));
}

/** Like `describe`; without a binary one test stands there instead, which says so. */
export function describeWithRealNode(name: string, tests: (binary: string) => void): void {
  const binary = freeswitchBinary();
  describe(name, () => {
    if (binary) return tests(binary);
    it('no FreeSWITCH found (FREESWITCH_BIN or PATH): not run', () => {
      process.stdout.write(`${name}: no FreeSWITCH found (FREESWITCH_BIN or PATH): not run\n`);
    });
  });
}
